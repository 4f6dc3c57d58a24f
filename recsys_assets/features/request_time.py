"""Features that need the moment of the request, declared once for training, evaluation, serving.

Plain numpy, for both environments and for a request's path. Times are epoch seconds, UTC.
"""

import numpy as np

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


def context(timestamps: np.ndarray) -> dict[str, np.ndarray]:
    """Hour of the day and day of the week on the unit circle, UTC.

    Args:
        timestamps: Moments of the requests, [n].

    Returns:
        `hour_sin`, `hour_cos`, `weekday_sin`, `weekday_cos`: float64 [n]. The hour is continuous
        (minutes and seconds count); the weekday is whole, Monday at angle 0.
    """
    seconds = np.asarray(timestamps, np.float64)
    hour = 2 * np.pi * (seconds % DAY_SECONDS) / DAY_SECONDS
    weekday = 2 * np.pi * ((seconds // DAY_SECONDS + _THURSDAY) % 7) / 7
    angles = (np.sin(hour), np.cos(hour), np.sin(weekday), np.cos(weekday))
    return dict(zip(CONTEXT_FEATURES, angles, strict=True))


def _days_between(earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
    start = np.asarray(earlier, np.float64)
    return (np.asarray(later, np.float64) - start) / DAY_SECONDS
