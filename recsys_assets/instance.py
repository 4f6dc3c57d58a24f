"""The local Dagster instance under `settings.home`."""

import os
import shutil
import sqlite3
from pathlib import Path

import dagster as dg
from sqlalchemy import Engine, event

from recsys_assets.settings import REPOSITORY, Settings

_PID = "recsys/pid"


def instance_home(settings: Settings) -> Path:
    """The instance's folder, with the repository's `dagster.yaml` in it."""
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(REPOSITORY / "dagster.yaml", home / "dagster.yaml")
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance; runs that a killed command left behind are marked as failed first."""
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
