"""Features that need the moment of the request, declared once for training, evaluation, serving.

Plain numpy, for both environments and for a request's path. Times are epoch seconds, UTC; hour and
weekday are those of the shop's clocks, for people shop by these, and daylight saving shifts them
against UTC. A model keeps the time zone that it was trained with (`encoding.ModelEncoding`).
"""

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

UTC = "UTC"
DAY_SECONDS = 86_400.0
USER_REQUEST_FEATURES = ("recency_days",)
# The last four are planned ahead: values of `item_promotions` at the request and a week before it.
ITEM_REQUEST_FEATURES = (
    "age_days",
    "display",
    "mailer",
    "display_last_week",
    "mailer_last_week",
)
CONTEXT_FEATURES = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")
_QUARTER_SECONDS = 900  # clocks are changed at whole quarters of an hour of UTC
_KNOWN_QUARTERS = 1 << 17  # nearly four years
_THURSDAY = 3  # weekday of 1970-01-01, with Monday 0


def recency_days(timestamps: np.ndarray, last_event_at: np.ndarray) -> np.ndarray:
    """Days since the user's last known event.

    Args:
        timestamps: Moments of the requests, [n].
        last_event_at: Column of `user_features`, [n]; missing is NaN.

    Returns:
        float64 [n]; NaN where `last_event_at` is missing.
    """
    return _days_between(last_event_at, timestamps)


def age_days(timestamps: np.ndarray, first_sold_at: np.ndarray) -> np.ndarray:
    """Days since the item was first sold.

    Args:
        timestamps: Moments of the requests, [n], or one moment for all items, [1].
        first_sold_at: Column of `item_features`, [n]; missing is NaN.

    Returns:
        float64 [n]; NaN where the item has never been sold.
    """
    return _days_between(first_sold_at, timestamps)


def local_seconds(timestamps: np.ndarray, time_zone: str) -> np.ndarray:
    """What the shop's clocks show, as seconds since they showed 1970-01-01 00:00: float64 [n].

    Args:
        timestamps: Moments, [n].
        time_zone: By its IANA name.

    Raises:
        zoneinfo.ZoneInfoNotFoundError: There is no such zone.
    """
    seconds = np.asarray(timestamps, np.float64)
    quarters = (seconds // _QUARTER_SECONDS).astype(np.int64).tolist()
    ahead = (_ahead_of_utc(time_zone, quarter) for quarter in quarters)
    return seconds + np.fromiter(ahead, np.float64, len(seconds))


@lru_cache(_KNOWN_QUARTERS)
def _ahead_of_utc(time_zone: str, quarter: int) -> float:
    moment = datetime.fromtimestamp(quarter * _QUARTER_SECONDS, ZoneInfo(time_zone))
    offset = moment.utcoffset()
    return 0.0 if offset is None else offset.total_seconds()


def context(timestamps: np.ndarray, time_zone: str) -> dict[str, np.ndarray]:
    """Hour of the day and day of the week by the shop's clocks, on the unit circle.

    Args:
        timestamps: Moments of the requests, [n].
        time_zone: Of the shop, by its IANA name.

    Returns:
        `hour_sin`, `hour_cos`, `weekday_sin`, `weekday_cos`: float64 [n]. The hour is continuous
        (minutes and seconds count); the weekday is whole, Monday at angle 0.
    """
    seconds = local_seconds(timestamps, time_zone)
    hour = 2 * np.pi * (seconds % DAY_SECONDS) / DAY_SECONDS
    weekday = 2 * np.pi * ((seconds // DAY_SECONDS + _THURSDAY) % 7) / 7
    angles = (np.sin(hour), np.cos(hour), np.sin(weekday), np.cos(weekday))
    return dict(zip(CONTEXT_FEATURES, angles, strict=True))


def _days_between(earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
    start = np.asarray(earlier, np.float64)
    return (np.asarray(later, np.float64) - start) / DAY_SECONDS
