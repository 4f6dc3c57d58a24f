"""Settings of one deployment; this package is the only reader of environment variables.

What belongs here: every value that differs between a laptop, CI and production. What does not:
hyperparameters, which are Dagster run configuration, and the data contract (`events/contract.py`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from recsys_assets.settings import reading
from recsys_assets.settings.cluster import Athena, Cluster
from recsys_assets.settings.days import Days
from recsys_assets.settings.reading import InvalidSetting, MissingSettings

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOYMENTS = ("local", "eks")

# First and last event day of each recording (UTC), and the day that counts as today.
# The last evening of Complete Journey's store year falls on 2018-01-01 in UTC. The week from
# Diginetica's today is the last with views; some of its purchases follow weeks after them.
_RECORDED: dict[str, tuple[date, date, date]] = {
    "complete_journey": (date(2017, 1, 1), date(2018, 1, 1), date(2017, 10, 1)),
    "movielens_100k": (date(1997, 9, 20), date(1998, 4, 22), date(1998, 3, 1)),
    "yoochoose": (date(2014, 4, 1), date(2014, 9, 30), date(2014, 9, 1)),
    "diginetica": (date(2016, 1, 1), date(2016, 6, 17), date(2016, 5, 25)),
}
SOURCES = (*_RECORDED, "parquet")
# What RECSYS_SOURCE_URL may be, and by which schemes it is read, where a source has one.
_PLACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "parquet": ("a folder or an s3:// prefix", ("file", "s3")),
    "yoochoose": ("the folder with its publisher's files", ("file",)),
    "diginetica": ("the folder with its publisher's files", ("file",)),
}
INDEX_KINDS = ("flat", "hnsw", "hnswsq8", "ivfflat", "ivfsq8", "ivfpq", "auto")
SEEN_WHEN_DOWN = ("show", "refuse")  # `pipeline.seen_settings.WhenDown`
# `storage.online_store` opens them; one with +cluster names any node of a cluster.
ONLINE_STORE_SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster")
OFFLINE_STORES = ("duckdb", "spark", "athena")
WAIT_VARIABLE = "RECSYS_WAIT_SECONDS"  # named in the errors of `waiting.py`
WAIT_SECONDS = 600  # suits a machine ten times slower than a laptop


@dataclass(frozen=True)
class Settings(Days):
    """Everything that differs between deployments.

    On live data `today` is the UTC day on which the settings are read (`today_follows_clock`);
    recordings have a fixed one, so that the same graph runs on last year's data and on tonight's.
    Steps of a run take theirs from `resources.RunDays`, so that a run has one.

    Events of `skipped_days` are left out: a day whose delivery is broken does not hold up a first
    load.

    A purchase counts for an answer if it follows within `attribution_hours`. Drift on k of n days
    (`drift_days`) starts a fine-tune, unless one was started less than `cooldown_days` before;
    everything is trained anew every `retrain_every_days`, and after that many
    `rejections_before_retrain` in a row. Alerts are also posted to `alert_url`, if there is one.

    A batch of requests may take `batch_budget_ms`; what would take longer gets less (see
    `pipeline/shedding.py`).

    A user's filter of seen items is forgotten `seen_expire_days` after the last purchase, never
    if it is None. Items shown are not shown again for `shown_hours`, 0 being off. While the
    filters cannot be asked, `seen_when_down` says what a known user gets: `show` or `refuse`.

    Hour and weekday of a request are told in `time_zone`, by its IANA name; event days are UTC.

    Callers of the HTTP services bring one of the lines of `api_token`, if there is one. Those of
    `api_token_file` are read again while a service runs.

    At most `uncollected_answers` of some 3.5 kB wait in the online store for the request log to be
    collected; what comes beyond is not logged, and counted.

    A server, a load, or another state that is waited for may take `wait_seconds`; what is work by
    its nature, as a day's run, a multiple of it (see `waiting.py`).

    Pictures are encoded by the model in the folder `image_encoder`, by the one that is packaged if
    it is None.

    `triton_repository` is the live model repository that a server beside this process serves.
    `cluster` is None unless `deployment` is `eks`.
    """

    deployment: str
    cluster: Cluster | None
    home: Path
    storage_url: str
    source: str
    source_url: str | None
    today_follows_clock: bool
    skipped_days: tuple[date, ...]
    time_zone: str
    online_store_url: str
    triton_http: str
    triton_grpc: str
    triton_metrics: str
    triton_repository: Path
    models_python: Path
    packaged_data: Path
    image_encoder: Path | None
    index_kind: str
    offline_store: str
    athena: Athena
    attribution_hours: int
    drift_days: tuple[int, int]
    cooldown_days: int
    retrain_every_days: int
    rejections_before_retrain: int
    alert_url: str | None
    api_token: str | None = field(repr=False)
    api_token_file: Path | None
    batch_budget_ms: int
    seen_expire_days: int | None
    seen_when_down: str
    shown_hours: int
    uncollected_answers: int
    wait_seconds: int


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads and validates the settings.

    A value may be in a mounted file, whose path is in the variable's name with `_FILE` at its end.

    Raises:
        MissingSettings: names every variable that the deployment cannot do without.
        InvalidSetting: names the variable, its value and the remedy.
    """
    environ = reading.with_mounted(environ)
    deployment = reading.choice(environ, "RECSYS_DEPLOYMENT", DEPLOYMENTS, "local")
    on_cluster = deployment == "eks"
    cluster = Cluster.load(environ) if on_cluster else None
    home = Path(environ.get("RECSYS_HOME") or REPOSITORY / "var").expanduser().resolve()
    default_source = "parquet" if on_cluster else "complete_journey"
    source = reading.choice(environ, "RECSYS_SOURCE", SOURCES, default_source)
    days = _days(environ, source)
    host, port = ("triton", 8000) if on_cluster else ("127.0.0.1", 8700)
    return Settings(
        deployment=deployment,
        cluster=cluster,
        home=home,
        storage_url=reading.url(
            environ,
            "RECSYS_STORAGE",
            f"{home.as_uri()}/storage",
            ("s3",) if on_cluster else ("file", "s3"),
        ),
        source=source,
        source_url=_source_url(environ, source),
        first_day=days.first_day,
        last_day=days.last_day,
        today=days.today,
        evaluation_days=days.evaluation_days,
        today_follows_clock=days.last_day is None and not environ.get("RECSYS_TODAY"),
        skipped_days=_skipped_days(environ, days),
        time_zone=reading.time_zone(environ, "RECSYS_TIME_ZONE", "UTC"),
        online_store_url=reading.url(
            environ, "RECSYS_ONLINE_STORE_URL", "redis://127.0.0.1:6390/0", ONLINE_STORE_SCHEMES
        ),
        triton_http=reading.address(environ, "RECSYS_TRITON_HTTP", f"{host}:{port}"),
        triton_grpc=reading.address(environ, "RECSYS_TRITON_GRPC", f"{host}:{port + 1}"),
        triton_metrics=reading.address(environ, "RECSYS_TRITON_METRICS", f"{host}:{port + 2}"),
        triton_repository=Path(
            environ.get("RECSYS_TRITON_REPOSITORY") or home / "triton" / "models"
        ),
        models_python=Path(
            environ.get("RECSYS_MODELS_PYTHON") or REPOSITORY / ".venvs/models/bin/python"
        ),
        packaged_data=Path(
            environ.get("RECSYS_PACKAGED_DATA") or REPOSITORY / ".venvs/packaged-data"
        ),
        image_encoder=_path(environ, "RECSYS_IMAGE_ENCODER"),
        index_kind=reading.choice(environ, "RECSYS_INDEX", INDEX_KINDS, "hnsw"),
        offline_store=reading.choice(
            environ, "RECSYS_OFFLINE_STORE", OFFLINE_STORES, "athena" if on_cluster else "duckdb"
        ),
        athena=Athena.load(environ),
        attribution_hours=reading.positive(environ, "RECSYS_ATTRIBUTION_HOURS", 24),
        drift_days=reading.k_of_n(environ, "RECSYS_DRIFT_DAYS", "2/3"),
        cooldown_days=reading.positive(environ, "RECSYS_COOLDOWN_DAYS", 4),
        retrain_every_days=reading.positive(environ, "RECSYS_RETRAIN_EVERY_DAYS", 7),
        rejections_before_retrain=reading.positive(environ, "RECSYS_REJECTIONS_BEFORE_RETRAIN", 3),
        alert_url=reading.optional_url(environ, "RECSYS_ALERT_URL", ("http", "https")),
        api_token=environ.get("RECSYS_API_TOKEN") or None,
        api_token_file=_path(environ, "RECSYS_API_TOKEN_FILE"),
        batch_budget_ms=reading.positive(environ, "RECSYS_BATCH_BUDGET_MS", 12),
        seen_expire_days=reading.whole(environ, "RECSYS_SEEN_EXPIRE_DAYS", 0) or None,
        seen_when_down=reading.choice(environ, "RECSYS_SEEN_WHEN_DOWN", SEEN_WHEN_DOWN, "show"),
        shown_hours=reading.whole(environ, "RECSYS_SHOWN_HOURS", 0),
        uncollected_answers=reading.positive(environ, "RECSYS_UNCOLLECTED_ANSWERS", 1_000_000),
        wait_seconds=reading.positive(environ, WAIT_VARIABLE, WAIT_SECONDS),
    )


def _path(environ: Mapping[str, str], variable: str) -> Path | None:
    value = environ.get(variable)
    return Path(value) if value else None


def _source_url(environ: Mapping[str, str], source: str) -> str | None:
    if source not in _PLACES:
        return None
    place, schemes = _PLACES[source]
    value = environ.get("RECSYS_SOURCE_URL", "")
    if not value:
        raise InvalidSetting("RECSYS_SOURCE_URL", value, f"RECSYS_SOURCE={source} needs {place}")
    if "://" not in value:
        value = Path(value).expanduser().resolve().as_uri()
    return reading.url({"RECSYS_SOURCE_URL": value}, "RECSYS_SOURCE_URL", "", schemes)


def _days(environ: Mapping[str, str], source: str) -> Days:
    recorded = _RECORDED.get(source)
    now = datetime.now(UTC).date()
    first = reading.day(environ, "RECSYS_FIRST_DAY", recorded[0] if recorded else None)
    if first is None:
        raise InvalidSetting(
            "RECSYS_FIRST_DAY", "", f"RECSYS_SOURCE={source} needs the first event day"
        )
    last = reading.day(environ, "RECSYS_LAST_DAY", recorded[1] if recorded else None)
    if last is not None and last < first:
        raise InvalidSetting("RECSYS_LAST_DAY", str(last), f"give a day not before {first}")
    if last is not None and last >= now:
        raise InvalidSetting(
            "RECSYS_LAST_DAY",
            str(last),
            f"it is the last day of a recording, and {now} is not over: leave it unset on live "
            "data, which has no last day",
        )
    # The day after a recording is the latest at which all that it could know has been recorded.
    latest = now if last is None else last + timedelta(days=1)
    today = reading.day(environ, "RECSYS_TODAY", recorded[2] if recorded else latest)
    if today is None or not first < today <= latest:
        raise InvalidSetting(
            "RECSYS_TODAY", str(today), f"give a day after the first, {first}, up to {latest}"
        )
    return Days(first, last, today, reading.positive(environ, "RECSYS_EVALUATION_DAYS", 7))


def _skipped_days(environ: Mapping[str, str], days: Days) -> tuple[date, ...]:
    skipped = reading.days(environ, "RECSYS_SKIP_DAYS")
    for day in skipped:
        if day < days.first_day or day > (days.last_day or day):
            covered = f"{days.first_day} to {days.last_day or 'now'}"
            raise InvalidSetting("RECSYS_SKIP_DAYS", str(day), f"event days are {covered}")
    return skipped


__all__ = [
    "DEPLOYMENTS",
    "INDEX_KINDS",
    "OFFLINE_STORES",
    "ONLINE_STORE_SCHEMES",
    "REPOSITORY",
    "SEEN_WHEN_DOWN",
    "SOURCES",
    "WAIT_SECONDS",
    "WAIT_VARIABLE",
    "Athena",
    "Cluster",
    "Days",
    "InvalidSetting",
    "MissingSettings",
    "Settings",
    "load_settings",
]
