"""The storage of a local instance: Dagster's SQLite files, prepared once a process.

Dagster 1.13 makes an engine for each query and throws it away with every statement that it has
compiled. And whoever opens an instance, as a code server does for each look of a sensor, reads all
migrations that there ever were, once for each file. That is most of what an event costs (a first
load enters thousands), and of what a daemon costs that has nothing to do. The files stay the same.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

# Dagster 1.13 exports none of its storages.
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, inspect
from sqlalchemy.pool import NullPool

_FILES = 32  # that are held ready: those of runs and schedules, the index, and of the last runs
_prepared: set[str] = set()


class Runs(SqliteRunStorage):
    """Runs."""

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> Self:
        """Opens the file in a folder, and makes it if need be."""
        url = create_db_conn_string(base_dir, "runs")
        _prepare_once(url, lambda: super(Runs, cls).from_local(base_dir, inst_data))
        return cls(url, inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A transaction."""
        with _engine(self._conn_string).begin() as connection:
            yield connection


class Schedules(SqliteScheduleStorage):
    """States and ticks of sensors."""

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> Self:
        """Opens the file in a folder, and makes it if need be."""
        url = create_db_conn_string(base_dir, "schedules")
        _prepare_once(url, lambda: super(Schedules, cls).from_local(base_dir, inst_data))
        return cls(url, inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A transaction."""
        with _engine(self._conn_string).begin() as connection:
            yield connection


class EventLog(SqliteEventLogStorage):
    """Events: a file for each run, and an index of those of assets."""

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table."""
        index = _engine(self.conn_string_for_shard(INDEX_SHARD_NAME))
        return inspect(index).has_table(table_name)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            url = self.conn_string_for_shard(shard)
            _prepare_once(url, lambda: self._initdb(_engine(url)))
            with _engine(url).begin() as connection:
                yield connection


class LocalStorage(DagsterSqliteStorage):
    """All three, in the folders and files in which Dagster's own storage has them."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.base_dir, self._inst_data = base_dir, inst_data
        self._run_storage = Runs.from_local(f"{base_dir}/history")
        self._event_log_storage = EventLog(f"{base_dir}/history/runs")
        self._schedule_storage = Schedules.from_local(f"{base_dir}/schedules")
        super(DagsterSqliteStorage, self).__init__()  # which would open Dagster's own

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """As `dagster.yaml` asks for it."""
        return cls(config_value["base_dir"], inst_data)


@lru_cache(_FILES)
def _engine(url: str) -> Engine:
    """Opens a connection for each transaction, so it may be used by any thread."""
    busy = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
    return create_engine(url, poolclass=NullPool, connect_args=busy)


def _prepare_once(url: str, prepare: Callable[[], object]) -> None:
    """Has a file made, or brought to the tables of today, unless this process has done so."""
    if url not in _prepared or not Path(url.removeprefix("sqlite:///")).exists():
        prepare()
        _prepared.add(url)
