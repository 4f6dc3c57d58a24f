"""Versioned folders: model weights, indexes, everything that is more than one table.

A version is written under a name of its own and becomes visible when the pointer `CURRENT` is
replaced, which is one atomic write. A crash before that leaves the last good version current.
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

from pyarrow import fs

from recsys_assets.storage.filesystem import (
    children,
    download_folder,
    exists,
    open_url,
    read_bytes,
    upload_folder,
    write_atomically,
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
        return [name for name in children(self.url) if self._is_complete(name)]

    def fetch(self, version: str | None = None) -> Path:
        """A local folder with a version's files: the stored folder itself, or a cached copy.

        Raises:
            MissingArtifact: there is no such version, or none at all.
        """
        wanted = version or self.current()
        if wanted is None or not self._is_complete(wanted):
            raise MissingArtifact(self.name, wanted, self.url)
        url = f"{self.url}/{wanted}"
        filesystem, path = open_url(url)
        if isinstance(filesystem, fs.LocalFileSystem):
            return Path(path)
        local = self.cache / self.name / wanted
        if not local.exists():
            download_folder(url, local)
        return local

    def _is_complete(self, version: str) -> bool:
        return exists(f"{self.url}/{version}/{_COMPLETE}")

    def _publish(self, draft: Draft) -> None:
        final = f"{self.url}/{draft.version}"
        filesystem, path = open_url(final)
        if isinstance(filesystem, fs.LocalFileSystem):
            staging = Path(path).with_name(f".{draft.version}")
            try:
                shutil.copytree(draft.path, staging)
                staging.replace(path)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        else:
            upload_folder(draft.path, final)
        write_atomically(f"{final}/{_COMPLETE}", b"")
        pointer = {"version": draft.version, "published_at": datetime.now(UTC).isoformat()}
        write_atomically(f"{self.url}/{_POINTER}", json.dumps(pointer).encode())
