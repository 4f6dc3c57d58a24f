"""The Dagster instance: on one machine under `settings.home`, in a cluster the chart's."""

import os
import sqlite3
from pathlib import Path

import dagster as dg
import yaml
from sqlalchemy import Engine, event

from recsys_assets.defs.resources import TODAY_TAG
from recsys_assets.runtime.processes import started_at
from recsys_assets.settings import REPOSITORY, InvalidSetting, Settings
from recsys_assets.settings.cluster import Cluster
from recsys_assets.storage.filesystem import write_atomically

_PID = "recsys/pid"
# Where Dagster takes its limits from: those of a start in dagster.yaml, those of a call to the
# code server, sensors among them, in the environment.
_LIMITS = (
    ("run_monitoring", "start_timeout_seconds"),
    ("code_servers", "local_startup_timeout"),
    ("code_servers", "reload_timeout"),
)
_LIMIT_VARIABLES = tuple(
    f"DAGSTER_{call}GRPC_TIMEOUT_SECONDS" for call in ("", "REPOSITORY_", "SCHEDULE_", "SENSOR_")
)


def instance_home(settings: Settings) -> Path:
    """The local instance's folder, with the repository's `dagster.yaml` in it.

    Dagster reads its limits of a start from there, and not from the environment.
    """
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text(encoding="utf-8"))
    for part, limit in _LIMITS:
        config[part][limit] = settings.wait_seconds
    write_atomically((home / "dagster.yaml").as_uri(), yaml.safe_dump(config).encode())
    return home


def dagster_environment(settings: Settings) -> dict[str, str]:
    """What a command of Dagster needs to work on the local instance, with time for its calls."""
    limits = dict.fromkeys(_LIMIT_VARIABLES, str(settings.wait_seconds))
    return {**limits, "DAGSTER_HOME": str(instance_home(settings))}


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance of the deployment.

    On one machine, runs that a killed command left behind are marked as failed first. In a
    cluster a run is in another pod, where a pid says nothing: the daemon asks Kubernetes.

    Raises:
        InvalidSetting: DAGSTER_HOME is not the folder into which the chart mounts its instance.
    """
    if settings.cluster is not None:
        return dg.DagsterInstance.from_config(str(_mounted_home(settings.cluster)))
    event.listen(Engine, "connect", _let_the_system_flush)
    instance = dg.DagsterInstance.from_config(str(instance_home(settings)))
    _end_abandoned_runs(instance)
    return instance


def run_tags(settings: Settings) -> dict[str, str]:
    """Tags that say under which settings a run made its assets."""
    return {
        **source_tags(settings),
        TODAY_TAG: settings.today.isoformat(),
        "recsys/evaluation_days": str(settings.evaluation_days),
        "recsys/evaluation_from": settings.evaluation_from.isoformat(),
        "recsys/skipped_days": ",".join(map(str, settings.skipped_days)) or "none",
        "recsys/index": settings.index_kind,
    }


def source_tags(settings: Settings) -> dict[str, str]:
    """Those of them that say on which data."""
    return {
        "recsys/source": settings.source,
        "recsys/source_url": settings.source_url or "built-in",
    }


def process_tag() -> dict[str, str]:
    """A tag by which a later command sees that this process is gone."""
    return {_PID: str(os.getpid())}


def _mounted_home(cluster: Cluster) -> Path:
    """The folder of the chart's instance. Without its file, Dagster would begin an empty one."""
    home = Path(cluster.dagster_home)
    if not cluster.dagster_home or not (home / "dagster.yaml").is_file():
        raise InvalidSetting(
            "DAGSTER_HOME",
            cluster.dagster_home,
            "RECSYS_DEPLOYMENT=eks wants the folder into which the instance's dagster.yaml is "
            "mounted, from the ConfigMap dagster-instance of Dagster's chart",
        )
    return home


def _end_abandoned_runs(instance: dg.DagsterInstance) -> None:
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        pid = run.tags.get(_PID)
        if pid is not None and started_at(int(pid)) is None:
            instance.report_run_failed(run, f"The process {pid} that executed it is gone.")
    _leave_pools(instance)


def _leave_pools(instance: dg.DagsterInstance) -> None:
    """Takes runs that have ended out of their pools, where no daemon does it: others would wait."""
    pools = instance.event_log_storage
    for pool in pools.get_concurrency_keys():
        for run_id in pools.get_concurrency_info(pool).active_run_ids:
            run = instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                pools.free_concurrency_slots_for_run(run_id)


def _let_the_system_flush(connection: sqlite3.Connection, _: object) -> None:
    """Leaves it to the operating system when SQLite's pages reach the disk.

    A backfill of a year writes thousands of events, each a transaction; waiting for the disk at
    each takes longer than the work. A killed process loses nothing by this, a power failure may.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")
