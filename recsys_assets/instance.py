"""The Dagster instance: on one machine under `settings.home`, in a cluster the chart's."""

import os
import shutil
import sqlite3
from pathlib import Path

import dagster as dg
from sqlalchemy import Engine, event

from recsys_assets.settings import REPOSITORY, InvalidSetting, Settings

_PID = "recsys/pid"


def instance_home(settings: Settings) -> Path:
    """The local instance's folder, with the repository's `dagster.yaml` in it."""
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(REPOSITORY / "dagster.yaml", home / "dagster.yaml")
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance of the deployment.

    On one machine, runs that a killed command left behind are marked as failed first. In a
    cluster a run is in another pod, where a pid says nothing: the daemon asks Kubernetes.

    Raises:
        InvalidSetting: DAGSTER_HOME is not the folder into which the chart mounts its instance.
    """
    if settings.cluster is not None:
        return dg.DagsterInstance.from_config(str(_mounted_home()))
    event.listen(Engine, "connect", _let_the_system_flush)
    instance = dg.DagsterInstance.from_config(str(instance_home(settings)))
    _end_abandoned_runs(instance)
    return instance


def run_tags(settings: Settings) -> dict[str, str]:
    """Tags that say under which settings a run made its assets."""
    return {
        "recsys/source": settings.source,
        "recsys/source_url": settings.source_url or "built-in",
        "recsys/today": settings.today.isoformat(),
        "recsys/evaluation_days": str(settings.evaluation_days),
        "recsys/index": settings.index_kind,
    }


def process_tag() -> dict[str, str]:
    """A tag by which a later command sees that this process is gone."""
    return {_PID: str(os.getpid())}


def _mounted_home() -> Path:
    """The folder of the chart's instance. Without its file, Dagster would begin an empty one."""
    mounted = os.environ.get("DAGSTER_HOME", "")
    if not mounted or not (Path(mounted) / "dagster.yaml").is_file():
        raise InvalidSetting(
            "DAGSTER_HOME",
            mounted,
            "RECSYS_DEPLOYMENT=eks wants the folder into which the instance's dagster.yaml is "
            "mounted, from the ConfigMap dagster-instance of Dagster's chart",
        )
    return Path(mounted)


def _end_abandoned_runs(instance: dg.DagsterInstance) -> None:
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        pid = run.tags.get(_PID)
        if pid is not None and not Path(f"/proc/{pid}").exists():
            instance.report_run_failed(run, f"The process {pid} that executed it is gone.")


def _let_the_system_flush(connection: sqlite3.Connection, _: object) -> None:
    """Leaves it to the operating system when SQLite's pages reach the disk.

    A backfill of a year writes thousands of events, each a transaction; waiting for the disk at
    each takes longer than the work. A killed process loses nothing by this, a power failure may.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")
