"""Settings of one deployment, and the only reader of environment variables.

What belongs here: every value that differs between a laptop, CI and production. What does not:
hyperparameters, which are Dagster run configuration, and the data contract (`events/contract.py`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parent.parent

# First and last event day of each built-in source (UTC), and the day that counts as today.
# The last evening of Complete Journey's store year falls on 2018-01-01 in UTC.
_RECORDED: dict[str, tuple[date, date, date]] = {
    "complete_journey": (date(2017, 1, 1), date(2018, 1, 1), date(2017, 10, 1)),
    "movielens_100k": (date(1997, 9, 20), date(1998, 4, 22), date(1998, 3, 1)),
}
SOURCES = (*_RECORDED, "parquet")
INDEX_KINDS = ("flat", "hnsw", "hnswsq8", "ivfflat", "ivfsq8", "ivfpq", "auto")
SEEN_WHEN_DOWN = ("show", "refuse")  # `serving.seen_settings.WhenDown`
OFFLINE_STORES = ("duckdb", "spark", "athena")


class InvalidSetting(ValueError):
    """An environment variable holds a value that cannot be used."""

    def __init__(self, variable: str, value: str, remedy: str) -> None:
        super().__init__(f"{variable}={value!r} cannot be used: {remedy}")


@dataclass(frozen=True)
class Settings:
    """Everything that differs between deployments.

    `today` is the first day that history does not hold: features, models and the online store
    know events of days before it. On live data it is the current UTC day; recorded sources have
    a fixed one, so that the same graph runs on last year's data and on tonight's.

    A purchase counts for an answer if it follows within `attribution_hours`. Drift on k of n days
    (`drift_days`) starts a fine-tune, unless one was started less than `cooldown_days` before;
    everything is trained anew every `retrain_every_days`, and after that many
    `rejections_before_retrain` in a row. Alerts are also posted to `alert_url`, if there is one.

    A batch of requests may take `batch_budget_ms`; what would take longer gets less (see
    `serving/shedding.py`).

    A user's filter of seen items is forgotten `seen_expire_days` after the last purchase, never
    if it is None. Items shown are not shown again for `shown_hours`, 0 being off. While the
    filters cannot be asked, `seen_when_down` says what a known user gets: `show` or `refuse`.
    """

    home: Path
    storage_url: str
    source: str
    source_url: str | None
    first_day: date
    last_day: date | None
    today: date
    evaluation_days: int
    online_store_url: str
    triton_http: str
    triton_grpc: str
    triton_metrics: str
    models_python: Path
    packaged_data: Path
    index_kind: str
    offline_store: str
    attribution_hours: int
    drift_days: tuple[int, int]
    cooldown_days: int
    retrain_every_days: int
    rejections_before_retrain: int
    alert_url: str | None
    batch_budget_ms: int
    seen_expire_days: int | None
    seen_when_down: str
    shown_hours: int

    @property
    def train_through(self) -> date:
        """The last day of history, and so of the initial training span."""
        return self.today - timedelta(days=1)

    @property
    def evaluation_through(self) -> date:
        """The last day of the span that the initial models are measured on."""
        return self.today + timedelta(days=self.evaluation_days - 1)


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads and validates the settings.

    Raises:
        InvalidSetting: names the variable, its value and the remedy.
    """
    home = Path(environ.get("RECSYS_HOME") or REPOSITORY / "var").expanduser().resolve()
    source = _choice(environ, "RECSYS_SOURCE", SOURCES, "complete_journey")
    first_day, last_day, today = _days(environ, source)
    return Settings(
        home=home,
        storage_url=_url(environ, "RECSYS_STORAGE", f"{home.as_uri()}/storage", ("file", "s3")),
        source=source,
        source_url=_source_url(environ, source),
        first_day=first_day,
        last_day=last_day,
        today=today,
        evaluation_days=_positive(environ, "RECSYS_EVALUATION_DAYS", 7),
        online_store_url=_url(
            environ, "RECSYS_ONLINE_STORE_URL", "redis://127.0.0.1:6390/0", ("redis", "rediss")
        ),
        triton_http=_address(environ, "RECSYS_TRITON_HTTP", "127.0.0.1:8700"),
        triton_grpc=_address(environ, "RECSYS_TRITON_GRPC", "127.0.0.1:8701"),
        triton_metrics=_address(environ, "RECSYS_TRITON_METRICS", "127.0.0.1:8702"),
        models_python=Path(
            environ.get("RECSYS_MODELS_PYTHON") or REPOSITORY / ".venvs/models/bin/python"
        ),
        packaged_data=Path(
            environ.get("RECSYS_PACKAGED_DATA") or REPOSITORY / ".venvs/packaged-data"
        ),
        index_kind=_choice(environ, "RECSYS_INDEX", INDEX_KINDS, "hnsw"),
        offline_store=_choice(environ, "RECSYS_OFFLINE_STORE", OFFLINE_STORES, "duckdb"),
        attribution_hours=_positive(environ, "RECSYS_ATTRIBUTION_HOURS", 24),
        drift_days=_k_of_n(environ, "RECSYS_DRIFT_DAYS", "2/3"),
        cooldown_days=_positive(environ, "RECSYS_COOLDOWN_DAYS", 4),
        retrain_every_days=_positive(environ, "RECSYS_RETRAIN_EVERY_DAYS", 7),
        rejections_before_retrain=_positive(environ, "RECSYS_REJECTIONS_BEFORE_RETRAIN", 3),
        alert_url=_alert_url(environ),
        batch_budget_ms=_positive(environ, "RECSYS_BATCH_BUDGET_MS", 12),
        seen_expire_days=_whole(environ, "RECSYS_SEEN_EXPIRE_DAYS", 0) or None,
        seen_when_down=_choice(environ, "RECSYS_SEEN_WHEN_DOWN", SEEN_WHEN_DOWN, "show"),
        shown_hours=_whole(environ, "RECSYS_SHOWN_HOURS", 0),
    )


def _choice(
    environ: Mapping[str, str], variable: str, allowed: tuple[str, ...], default: str
) -> str:
    value = environ.get(variable) or default
    if value not in allowed:
        raise InvalidSetting(variable, value, f"choose one of {', '.join(allowed)}")
    return value


def _positive(environ: Mapping[str, str], variable: str, default: int) -> int:
    value = environ.get(variable) or str(default)
    if not value.isdecimal() or int(value) < 1:
        raise InvalidSetting(variable, value, "give a whole number of at least 1")
    return int(value)


def _whole(environ: Mapping[str, str], variable: str, default: int) -> int:
    value = environ.get(variable) or str(default)
    if not value.isdecimal():
        raise InvalidSetting(variable, value, "give a whole number; 0 switches it off")
    return int(value)


def _k_of_n(environ: Mapping[str, str], variable: str, default: str) -> tuple[int, int]:
    value = environ.get(variable) or default
    k, _, n = value.partition("/")
    if not (k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
        raise InvalidSetting(variable, value, "give k/n days, such as 2/3, with 1 <= k <= n")
    return int(k), int(n)


def _alert_url(environ: Mapping[str, str]) -> str | None:
    if not environ.get("RECSYS_ALERT_URL"):
        return None
    return _url(environ, "RECSYS_ALERT_URL", "", ("http", "https"))


def _url(environ: Mapping[str, str], variable: str, default: str, schemes: tuple[str, ...]) -> str:
    value = (environ.get(variable) or default).rstrip("/")
    if urlsplit(value).scheme not in schemes:
        wanted = " or ".join(f"{scheme}://" for scheme in schemes)
        raise InvalidSetting(variable, value, f"give a URL that starts with {wanted}")
    return value


def _source_url(environ: Mapping[str, str], source: str) -> str | None:
    if source != "parquet":
        return None
    value = environ.get("RECSYS_SOURCE_URL", "")
    if not value:
        raise InvalidSetting(
            "RECSYS_SOURCE_URL", value, "RECSYS_SOURCE=parquet needs a folder or an s3:// prefix"
        )
    if "://" not in value:
        value = Path(value).expanduser().resolve().as_uri()
    return _url({"RECSYS_SOURCE_URL": value}, "RECSYS_SOURCE_URL", "", ("file", "s3"))


def _address(environ: Mapping[str, str], variable: str, default: str) -> str:
    value = environ.get(variable) or default
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidSetting(variable, value, "give host:port, for example 127.0.0.1:8700")
    return value


def _day(environ: Mapping[str, str], variable: str, default: date | None) -> date | None:
    value = environ.get(variable)
    if not value:
        return default
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise InvalidSetting(variable, value, "give a day as YYYY-MM-DD") from None


def _days(environ: Mapping[str, str], source: str) -> tuple[date, date | None, date]:
    recorded = _RECORDED.get(source)
    first = _day(environ, "RECSYS_FIRST_DAY", recorded[0] if recorded else None)
    last = _day(environ, "RECSYS_LAST_DAY", recorded[1] if recorded else None)
    today = _day(environ, "RECSYS_TODAY", recorded[2] if recorded else datetime.now(UTC).date())
    if first is None:
        raise InvalidSetting(
            "RECSYS_FIRST_DAY", "", f"RECSYS_SOURCE={source} needs the first event day"
        )
    if today is None or today <= first:
        raise InvalidSetting("RECSYS_TODAY", str(today), f"give a day after the first, {first}")
    if last is not None and last < first:
        raise InvalidSetting("RECSYS_LAST_DAY", str(last), f"give a day not before {first}")
    return first, last, today
