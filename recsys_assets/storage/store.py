"""The artifact store: everything the graph writes, under one URL.

Artifacts are versioned folders: model weights, indexes, all that is more than a table. A version is
written under a name of its own and becomes visible when the pointer `CURRENT` is replaced, which is
one atomic write. A crash before that leaves the last good version current.

Of versions that are written at the same time the one begun last becomes, and stays, current,
whichever is published last: its inputs were read last. The other is kept among the versions.

Tables are Parquet, whole or in daily partitions. A partition is one Parquet object, so replacing it
is atomic on every object store without a table format. Where a day outgrows one object (some
gigabytes), point `Table` at Iceberg or Delta; nothing above this module knows the layout except the
Spark and Feast readers, which take it from `Table.path` and `Table.glob`.
"""

import json
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.storage.filesystem import (
    download_folder,
    exists,
    folders_with,
    local_path,
    open_file,
    read_bytes,
    read_versioned,
    replacing,
    upload_folder,
    versions_in_folders,
    write_atomically,
    write_if_unchanged,
)
from recsys_assets.storage.s3 import ReplacedMeanwhile

_POINTER = "CURRENT"
_COMPLETE = "_COMPLETE"  # written last, so that an interrupted upload is never taken for a version
_DAY = "day="
_FILE = "data.parquet"
_READERS = 8
PART_ROWS = 5_000
"""Rows that are held at once where a day may be too large: of answers some 30 MB."""
_REPLACED = 3
_Read = TypeVar("_Read")


class MissingArtifact(FileNotFoundError):
    """An artifact, or one of its versions, that has not been published."""

    def __init__(self, name: str, version: str | None, url: str) -> None:
        what = f"version {version} of artifact {name!r}" if version else f"artifact {name!r}"
        super().__init__(f"{what} does not exist at {url}: materialize it first")


@dataclass(frozen=True)
class Draft:
    """A version being written: fill `path`, a local folder; it is published on leaving."""

    path: Path
    version: str


@dataclass(frozen=True)
class Artifact:
    """All versions of one artifact at `url`; `cache` holds local copies of remote ones."""

    name: str
    url: str
    cache: Path

    @contextmanager
    def new_version(self) -> Iterator[Draft]:
        """Writes the next version; it becomes current on success, and leaves no trace on error."""
        version = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}"
        with tempfile.TemporaryDirectory(prefix="artifact-") as folder:
            draft = Draft(Path(folder) / version, version)
            draft.path.mkdir()
            yield draft
            self._publish(draft)

    def current(self) -> str | None:
        """The current version, or None before the first."""
        pointer = read_bytes(f"{self.url}/{_POINTER}")
        return json.loads(pointer)["version"] if pointer else None

    def versions(self) -> list[str]:
        """Complete versions from the oldest to the newest, the current one among them."""
        return folders_with(self.url, _COMPLETE)

    def fetch(self, version: str | None = None) -> Path:
        """A local folder with a version's files: the stored folder itself, or a cached copy.

        Raises:
            MissingArtifact: there is no such version, or none at all.
        """
        wanted = version or self.current()
        complete = wanted and read_bytes(f"{self.url}/{wanted}/{_COMPLETE}")
        if wanted is None or complete is None:
            raise MissingArtifact(self.name, wanted, self.url)
        url = f"{self.url}/{wanted}"
        local = local_path(url) or self.cache / self.name / wanted
        if not local.exists():
            try:
                download_folder(url, local, json.loads(complete or "{}"))
            except FileNotFoundError as error:  # deleted meanwhile
                raise MissingArtifact(self.name, wanted, self.url) from error
        return local

    def _publish(self, draft: Draft) -> None:
        final = f"{self.url}/{draft.version}"
        path = local_path(final)
        sizes = _sizes(draft.path)
        if path is not None:
            staging = path.with_name(f".{draft.version}")
            try:
                shutil.copytree(draft.path, staging)
                staging.replace(path)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        else:
            upload_folder(draft.path, final)
        write_atomically(f"{final}/{_COMPLETE}", json.dumps(sizes).encode())
        self._make_current(draft.version)

    def _make_current(self, version: str) -> None:
        """Moves the pointer forward, never back; versions sort by when they were begun."""
        now = datetime.now(UTC).isoformat()
        pointer = json.dumps({"version": version, "published_at": now}).encode()
        while True:
            found = read_versioned(f"{self.url}/{_POINTER}")
            if found is not None and json.loads(found[0])["version"] >= version:
                return
            if write_if_unchanged(
                f"{self.url}/{_POINTER}", pointer, None if found is None else found[1]
            ):
                return


def _sizes(folder: Path) -> dict[str, int]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.stat().st_size for file in files}


class MissingPartition(FileNotFoundError):
    """A partition, or a whole table, that has not been written."""

    def __init__(self, table: str, day: str | None, url: str) -> None:
        what = f"partition {day} of table {table!r}" if day else f"table {table!r}"
        super().__init__(f"{what} does not exist at {url}: materialize it first")


@dataclass(frozen=True)
class Table:
    """A table at `url`; with `day` given, methods address one daily partition (YYYY-MM-DD)."""

    name: str
    url: str

    def path(self, day: str | None = None) -> str:
        """URL of the Parquet object of one partition, or of the whole unpartitioned table."""
        return f"{self.url}/{_DAY}{day}/{_FILE}" if day else f"{self.url}/{_FILE}"

    @property
    def glob(self) -> str:
        """URL pattern of all daily partitions, for engines that read by themselves."""
        return f"{self.url}/{_DAY}*/{_FILE}"

    def write(self, rows: pa.Table, day: str | None = None) -> None:
        """Replaces one partition, or the whole table, in one step."""
        with replacing(self.path(day)) as file:
            pq.write_table(rows, file, compression="zstd")

    def write_all(
        self, schema: pa.Schema, parts: Iterable[pa.Table], day: str | None = None
    ) -> None:
        """The same with rows that are not all in memory; each part is a row group."""
        with (
            replacing(self.path(day)) as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for rows in parts:
                writer.write_table(rows)

    def read(self, days: Iterable[str] | None = None, columns: list[str] | None = None) -> pa.Table:
        """Rows of the given partitions in their order, or of the unpartitioned table.

        Raises:
            MissingPartition: a partition has not been written.
        """
        if days is None:
            return self._read_one(None, columns)
        with ThreadPoolExecutor(_READERS) as pool:
            parts = list(pool.map(lambda day: self._read_one(day, columns), days))
        if not parts:
            raise ValueError(f"table {self.name!r}: no day was asked for")
        return pa.concat_tables(parts)

    def read_kept(
        self, day: str, keep: Callable[[pa.Table], pa.Table], columns: list[str] | None = None
    ) -> pa.Table:
        """What `keep` leaves of each `PART_ROWS` rows of a partition, which are held one by one.

        Raises:
            MissingPartition: the partition has not been written.
        """

        def read(file: pq.ParquetFile) -> pa.Table:
            none = file.schema_arrow.empty_table().select(columns or file.schema_arrow.names)
            parts = map(_as_table, file.iter_batches(PART_ROWS, columns=columns))
            return pa.concat_tables(map(keep, chain([none], parts)))

        return self._opened(day, read, whole=False)

    def row_count(self, days: Iterable[str]) -> int:
        """Rows of the given partitions, from the files' footers alone.

        Raises:
            MissingPartition: a partition has not been written.
        """
        with ThreadPoolExecutor(_READERS) as pool:
            return sum(pool.map(self._rows_of_one, days))

    def days(self) -> list[str]:
        """Days that have a partition, in order."""
        found = folders_with(self.url, _FILE)
        return [name.removeprefix(_DAY) for name in found if name.startswith(_DAY)]

    def versions(self) -> dict[str, str]:
        """Days that have a partition, each with what tells this version of it from others."""
        found = versions_in_folders(self.url, _FILE)
        return {
            name.removeprefix(_DAY): version
            for name, version in sorted(found.items())
            if name.startswith(_DAY)
        }

    def has(self, day: str | None = None) -> bool:
        """Whether a partition, or the unpartitioned table, has been written."""
        return exists(self.path(day))

    def _rows_of_one(self, day: str) -> int:
        return self._opened(day, lambda file: int(file.metadata.num_rows))

    def _read_one(self, day: str | None, columns: list[str] | None) -> pa.Table:
        return self._opened(day, lambda file: file.read(columns=columns))

    def _opened(
        self, day: str | None, read: Callable[[pq.ParquetFile], _Read], *, whole: bool = True
    ) -> _Read:
        """What is read of one object, all of it from before a replacement or all from after.

        Unless it is read as a `whole`, its bytes are not held at once either.
        """
        for _ in range(_REPLACED):
            try:
                return self._once(day, read, whole)
            except ReplacedMeanwhile:
                continue
        return self._once(day, read, whole)

    def _once(self, day: str | None, read: Callable[[pq.ParquetFile], _Read], whole: bool) -> _Read:
        try:
            with open_file(self.path(day)) as source:
                return read(pq.ParquetFile(source, pre_buffer=whole))
        except FileNotFoundError:
            raise MissingPartition(self.name, day, self.url) from None


def _as_table(part: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([part])


def _default_cache() -> Path:
    return Path(tempfile.gettempdir()) / "recsys-artifacts"


@dataclass(frozen=True)
class Store:
    """Tables at `<url>/tables/<name>`, artifacts at `<url>/artifacts/<name>`."""

    url: str
    cache: Path = field(default_factory=_default_cache)

    def table(self, name: str) -> Table:
        """The table of that name, written or not."""
        return Table(name, f"{self.url.rstrip('/')}/tables/{name}")

    def artifact(self, name: str) -> Artifact:
        """The artifact of that name, published or not."""
        return Artifact(name, f"{self.url.rstrip('/')}/artifacts/{name}", self.cache)
