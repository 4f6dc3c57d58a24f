"""Releases in the store: `<store>/releases/<n>/`, and which of them is promoted.

A release is one number over everything that answers a request. It exists once its
`manifest.json` does, which is written last on S3 and appears with the whole folder, by one
rename, on a file system. It is never changed afterwards. What a release is made of is in
`rendering.py`; how one gets into a server in `promotion.py`.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyarrow import fs

from recsys_assets.storage import Draft, Store
from recsys_assets.storage.filesystem import (
    children,
    download_folder,
    exists,
    open_url,
    read_bytes,
    upload_folder,
    write_atomically,
)

MANIFEST = "manifest.json"
_POINTER = "promoted.json"
_APPROVED = "approved"
_CLAIMS = "claims"
_STAGING = ".staging-"
_HISTORY = 50


class MissingRelease(LookupError):
    """A release that is not in the store."""


@dataclass(frozen=True)
class Promoted:
    """The promoted release and those that were promoted before it, oldest first."""

    release: int
    before: tuple[int, ...]
    promoted_at: str

    @property
    def previous(self) -> int | None:
        """What a rollback goes back to."""
        return self.before[-1] if self.before else None


@dataclass(frozen=True)
class Releases:
    """All releases of a store."""

    store: Store

    @property
    def url(self) -> str:
        """Folder of the releases."""
        return f"{self.store.url.rstrip('/')}/releases"

    def numbers(self) -> list[int]:
        """Complete releases, ascending."""
        found = sorted(int(name) for name in children(self.url) if name.isdecimal())
        return [number for number in found if exists(f"{self.url}/{number}/{MANIFEST}")]

    def latest(self) -> int:
        """The newest release.

        Raises:
            MissingRelease: there is none.
        """
        numbers = self.numbers()
        if not numbers:
            raise MissingRelease(
                f"there is no release at {self.url}: materialize triton_model_repository"
            )
        return numbers[-1]

    def manifest(self, release: int) -> dict[str, Any]:
        """What a release is made of.

        Raises:
            MissingRelease: there is no such release.
        """
        data = read_bytes(f"{self.url}/{release}/{MANIFEST}")
        if data is None:
            raise MissingRelease(
                f"release {release} does not exist at {self.url} (there are {self.numbers()}): "
                "materialize triton_model_repository"
            )
        return dict(json.loads(data))

    def fetch(self, release: int) -> Path:
        """A local folder with a release: the stored one, or a cached copy of a remote one.

        Raises:
            MissingRelease: there is no such release.
        """
        self.manifest(release)
        url = f"{self.url}/{release}"
        filesystem, path = open_url(url)
        if isinstance(filesystem, fs.LocalFileSystem):
            return Path(path)
        local = self.store.cache / "releases" / str(release)
        if not local.exists():
            download_folder(url, local)
        return local

    def approve(self, release: int) -> None:
        """Records that a release has passed the checks that promotion asks for."""
        self.manifest(release)
        write_atomically(f"{self.url}/{_APPROVED}/{release}", b"")

    def is_approved(self, release: int) -> bool:
        """Whether a release has passed its checks."""
        return exists(f"{self.url}/{_APPROVED}/{release}")

    @contextmanager
    def new(self) -> Iterator[Draft]:
        """Writes the next release: fill the draft's folder; it is published on leaving.

        The number belongs to this caller alone. On an error, or a kill, nothing is visible.
        On a file system renderings wait for each other; on S3 a number once claimed is not
        given again, so numbers may have gaps.
        """
        filesystem, path = open_url(self.url)
        if isinstance(filesystem, fs.LocalFileSystem):
            with _locked(Path(path)):
                yield from self._new_on_disk(Path(path))
        else:
            yield from self._new_on_s3(path)

    def promoted(self) -> Promoted | None:
        """The promoted release, or None before the first promotion."""
        data = read_bytes(f"{self.url}/{_POINTER}")
        if data is None:
            return None
        record = json.loads(data)
        return Promoted(record["release"], tuple(record["before"]), record["promoted_at"])

    def record(self, release: int, before: tuple[int, ...]) -> Promoted:
        """Records a promotion in one atomic write."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        promoted = Promoted(release, before[-_HISTORY:], now)
        write_atomically(f"{self.url}/{_POINTER}", json.dumps(asdict(promoted)).encode())
        return promoted

    def _new_on_disk(self, root: Path) -> Iterator[Draft]:
        for leftover in root.glob(f"{_STAGING}*"):  # of a killed rendering: we hold the lock
            shutil.rmtree(leftover)
        number = max(self.numbers(), default=0) + 1
        staging = root / f"{_STAGING}{number}"
        staging.mkdir()
        try:
            yield Draft(staging, str(number))
            _sync(staging)
            staging.rename(root / str(number))
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _new_on_s3(self, path: str) -> Iterator[Draft]:
        number = self._claim_on_s3(path)
        url = f"{self.url}/{number}"
        with tempfile.TemporaryDirectory(prefix="release-") as folder:
            draft = Draft(Path(folder), str(number))
            yield draft
            manifest = (draft.path / MANIFEST).read_bytes()
            (draft.path / MANIFEST).unlink()
            upload_folder(draft.path, url)
            write_atomically(f"{url}/{MANIFEST}", manifest)

    def _claim_on_s3(self, path: str) -> int:
        """Takes the next number by a conditional write, which only one caller can win."""
        import boto3

        client = boto3.client("s3")
        bucket, _, prefix = path.partition("/")
        claims = f"{self.url}/{_CLAIMS}"
        number = max((int(name) for name in children(claims)), default=0) + 1
        while True:
            try:
                client.put_object(
                    Bucket=bucket, Key=f"{prefix}/{_CLAIMS}/{number}", Body=b"", IfNoneMatch="*"
                )
            except client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
                number += 1
            else:
                return number


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, which the kernel releases if the process is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync(folder: Path) -> None:
    """Flushes the files to disk, so that a rename never makes half-written ones visible."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
