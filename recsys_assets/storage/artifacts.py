"""Versioned folders: model weights, indexes, everything that is more than one table.

A version is written under a name of its own and becomes visible when the pointer `CURRENT` is
replaced, which is one atomic write. A crash before that leaves the last good version current.

Of versions that are written at the same time the one begun last becomes, and stays, current,
whichever is published last: its inputs were read last. The other is kept among the versions.
"""

import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recsys_assets.storage.filesystem import (
    download_folder,
    folders_with,
    local_path,
    read_bytes,
    read_versioned,
    upload_folder,
    write_atomically,
    write_if_unchanged,
)

_POINTER = "CURRENT"
_COMPLETE = "_COMPLETE"  # written last, so that an interrupted upload is never taken for a version


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
