"""From the stream of answers to daily Parquet: table `request_log`, one row an answer.

The stream is emptied into parts (`answer_parts.py`), whenever it has grown or a day is collected,
and a day's parts are merged into its partition; both hold a bounded number of answers in memory,
however many there are. Delivery is at least once, so an answer may be in the stream twice, or
again after its partition was written: what tells answers apart is the request id. The stream is
cut only by what a part holds, and a part goes only once the visible partition holds it, so a crash
anywhere leaves every answer in one of the three, and the next run tidies up. Answers belong to the
UTC day of their request's `timestamp`, whenever they were given and however the server's clock was
set; one that comes late joins its day when that day is collected again.

An entry that cannot be read goes to `request_log_rejected`, in the partition of the day being
collected, with its reason and all its fields in base64; an answer with the id of another request,
as JSON.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import redis

from recsys_assets.features.attributes import user_columns
from recsys_assets.features.declarations import USER_FEATURES
from recsys_assets.monitoring import answer_parts
from recsys_assets.monitoring.answer_parts import (
    ENTRY_ID,
    REJECTED_PARTS,
    REJECTED_SCHEMA,
    AnswerParts,
    RowVerdict,
    group_of,
)
from recsys_assets.monitoring.answer_stream import Drain, Drained
from recsys_assets.monitoring.answer_table import COLUMNS
from recsys_assets.pipeline.request_log import STREAM
from recsys_assets.releases.release import Releases
from recsys_assets.runtime.waiting import WaitedTooLong
from recsys_assets.settings import WAIT_SECONDS
from recsys_assets.storage import Store
from recsys_assets.storage.lease import LeaseLost, held

__all__ = ["COLUMNS", "REJECTED", "TABLE", "Collected", "CollectionBusy", "Collector", "schema"]

TABLE = "request_log"
REJECTED = "request_log_rejected"
EVER = ("1970-01-01", "9999-12-31")
_LOCK = f"{STREAM}:collecting"
_LEASE_SECONDS = 60.0  # a killed run holds up the next one for no longer


class CollectionBusy(RuntimeError):
    """Another run collects, or took over as this one stood still."""


@dataclass(frozen=True)
class Collected:
    """What became of a day's answers.

    `rows` are in the partition now, `new` of them came this time. `duplicates` were dropped and
    `rejected` entries put aside; `waiting` answers to requests of other days wait for those to be
    collected. `unknown_columns` were logged by a release but are no online features any more: not
    kept.
    """

    rows: int
    new: int
    duplicates: int
    rejected: int
    waiting: int
    unknown_columns: tuple[str, ...]


def schema(store: Store) -> pa.Schema:
    """Columns of `request_log`: those of every answer, then each online feature of a user.

    Raises:
        MissingPartition: `users` has not been materialized.
        ValueError: an attribute of users has the name of another column.
    """
    names = user_columns(store)
    taken = sorted(set(names) & set(COLUMNS.names))
    if taken:
        raise ValueError(
            f"table 'users' has the attribute {taken[0]!r}, which is a column of {TABLE!r}: "
            "rename it in the source"
        )
    return with_features(names)


def with_features(names: Iterable[str]) -> pa.Schema:
    """Columns of every answer, then those of the named user features: text or double."""
    types = {"string": pa.string(), "int64": pa.float64(), "float64": pa.float64()}
    declared = USER_FEATURES.columns
    features = [pa.field(name, types[declared.get(name, "string")]) for name in names]
    return pa.schema([*COLUMNS, *features])


@dataclass(frozen=True)
class Collector:
    """Moves answers from the stream to the partitions of a store; one at a time, wherever it runs.

    Attributes:
        client: of the store with the stream, with patient timeouts.
        releases: where the item ids of the logged rows are; their store receives `request_log`,
            and `request_log_rejected` if anything is wrong.
        days: first and last day that are ever collected (YYYY-MM-DD).
        wait_seconds: how long another run that collects is waited for.
    """

    client: redis.Redis
    releases: Releases
    days: tuple[str, str] = EVER
    wait_seconds: float = WAIT_SECONDS

    def drain(self) -> Drained:
        """Empties the stream; answers wait in parts, and cost the online store no memory.

        Raises:
            CollectionBusy: another run has been collecting for too long, or this one stood still.
            redis.RedisError: the store does not answer; nothing is lost, run again.
        """
        with self._alone("the stream") as require:
            return self._drain(require)

    def collect(self, day: str) -> Collected:
        """Moves the answers to requests of `day` (YYYY-MM-DD) to their partition.

        What the partition holds already stays. Without any answer an empty partition is written.

        Raises:
            CollectionBusy: another run has been collecting for too long, or this one stood still.
            redis.RedisError: the store does not answer; nothing is lost, run again.
        """
        with self._alone(day) as require:
            drained = self._drain(require)
            merged = self._merge(day, require)
            rejected = self._merge_rejected(day, require)
            waiting = self._parts.waiting()
        return Collected(
            rows=self._store.table(TABLE).row_count([day]),
            new=merged[RowVerdict.KEEP],
            duplicates=merged[RowVerdict.REPEATED],
            rejected=rejected,
            waiting=sum(rows for group, rows in waiting.items() if group != REJECTED_PARTS),
            unknown_columns=tuple(sorted(drained.unknown_columns)),
        )

    @property
    def _store(self) -> Store:
        return self.releases.store

    @property
    def _parts(self) -> AnswerParts:
        return AnswerParts(self._store)

    @contextmanager
    def _alone(self, what: str) -> Iterator[Callable[[], None]]:
        try:
            with held(self.client, _LOCK, _LEASE_SECONDS, self.wait_seconds) as lease:
                yield lease.require
        except (WaitedTooLong, LeaseLost) as error:
            raise CollectionBusy(
                f"{TABLE}: {what} was not collected: {error}. Nothing is lost, run it again"
            ) from error

    def _drain(self, require: Callable[[], None]) -> Drained:
        drain = Drain(self._parts, self.releases, schema(self._store), self.days)
        return drain.run(self.client, require)

    def _merge(self, day: str, require: Callable[[], None]) -> dict[RowVerdict, int]:
        """Brings a day's parts into its partition; how many of their rows got which verdict."""
        table, parts = self._store.table(TABLE), self._parts.of(group_of(day))
        there = [table.path(day)] if table.has(day) else []
        if there and not parts:
            return dict.fromkeys(RowVerdict, 0)
        urls = [self._parts.url(part) for part in parts]
        verdicts = answer_parts.judge(there, urls)
        columns = answer_parts.with_former(schema(self._store), [*there, *urls])

        def reject(rows: pa.Table) -> None:
            self._parts.write(REJECTED_PARTS, answer_parts.as_rejected(rows))

        require()
        answer_parts.rewrite(table, day, columns, [*there, *urls], verdicts, reject)
        require()
        self._parts.delete(parts)
        of_parts = verdicts[len(verdicts) - sum(part.rows for part in parts) :]
        return {verdict: int((of_parts == verdict).sum()) for verdict in RowVerdict}

    def _merge_rejected(self, day: str, require: Callable[[], None]) -> int:
        """Adds to the day's rejected entries; one that is there from an earlier try is not doubled.

        Returns:
            How many were added.
        """
        table, parts = self._store.table(REJECTED), self._parts.of(REJECTED_PARTS)
        if not parts:
            return 0
        there = [table.path(day)] if table.has(day) else []
        urls = [*there, *(self._parts.url(part) for part in parts)]
        verdicts = answer_parts.first_of_each(urls, ENTRY_ID)
        before = table.row_count([day]) if there else 0
        require()
        answer_parts.rewrite(table, day, REJECTED_SCHEMA, urls, verdicts)
        require()
        self._parts.delete(parts)
        return int((verdicts == RowVerdict.KEEP).sum()) - before
