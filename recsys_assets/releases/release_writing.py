"""How a new release gets into the store: under a number of its own, whole or not at all.

Digests tell later whether its files are still those that were rendered.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recsys_assets.runtime.processes import ServiceError
from recsys_assets.storage import Draft
from recsys_assets.storage.filesystem import (
    children,
    upload_folder,
    write_atomically,
    write_if_absent,
)

MANIFEST = "manifest.json"
_CLAIMS = "claims"
_STAGING = ".staging-"
_FULL = (errno.ENOSPC, errno.EDQUOT)
# NumPy and shutil report a full disk without its error number.
_NEXT_TO_NOTHING = 1 << 20


class DiskFull(ServiceError):
    """There was no space left for a release."""


@contextmanager
def new_on_disk(root: Path, numbers: Callable[[], list[int]]) -> Iterator[Draft]:
    """Writes the next release on a file system; renderings wait for each other.

    Args:
        root: folder of the releases.
        numbers: the releases that there are, asked for once nobody else writes one.

    Raises:
        DiskFull: says how much space there was.
    """
    with _locked(root):
        for leftover in root.glob(f"{_STAGING}*"):  # of a killed rendering: we hold the lock
            shutil.rmtree(leftover)
        number = max(numbers(), default=0) + 1
        staging = root / f"{_STAGING}{number}"
        staging.mkdir()
        try:
            with _full_disk_named(staging, number):
                yield Draft(staging, str(number))
                _sync(staging)
            staging.rename(root / str(number))
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def new_on_s3(url: str) -> Iterator[Draft]:
    """Writes the next release to S3: the manifest last, which makes it visible.

    Raises:
        DiskFull: there is no space for it here, before the upload.
    """
    number = _claim(url)
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        draft = Draft(Path(folder), str(number))
        with _full_disk_named(draft.path, number):
            yield draft
        manifest = (draft.path / MANIFEST).read_bytes()
        (draft.path / MANIFEST).unlink()
        upload_folder(draft.path, f"{url}/{number}")
        write_atomically(f"{url}/{number}/{MANIFEST}", manifest)


def _claim(url: str) -> int:
    """Takes the next number by a conditional write, which only one caller can win."""
    number = max((int(name) for name in children(f"{url}/{_CLAIMS}")), default=0) + 1
    while not write_if_absent(f"{url}/{_CLAIMS}/{number}", uuid.uuid4().hex.encode()):
        number += 1
    return number


@contextmanager
def _full_disk_named(folder: Path, number: int) -> Iterator[None]:
    """Turns whatever a full disk makes a writer raise into an error that says so."""
    try:
        yield
    except OSError as error:
        free = shutil.disk_usage(folder).free
        if error.errno not in _FULL and free > _NEXT_TO_NOTHING:
            raise
        written = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        raise DiskFull(
            f"the disk of {folder.parent} is full: {free / 1e6:.1f} MB were free after "
            f"{written / 1e6:.1f} MB of release {number} had been written. Nothing of it is kept, "
            "and what is promoted stays so. Free some space, such as that of old releases, and "
            "render it again."
        ) from error


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


class CorruptRelease(ServiceError):
    """A release whose files are not what its manifest says; it is not served."""


def digests(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file in a folder, by relative path; bytecode is left out."""
    return {
        str(file.relative_to(folder)): {"bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }


def sha256(file: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(folder: Path, manifest: dict[str, Any]) -> None:
    """Compares every file of a release with its manifest.

    Args:
        folder: the release, `Releases.fetch(release)`.
        manifest: `Releases.manifest(release)`.

    Raises:
        CorruptRelease: names the first file that is missing or differs.
    """
    release = manifest["release"]
    if not manifest.get("files"):
        raise CorruptRelease(
            f"the manifest of release {release} in {folder} lists no files: render a new release"
        )
    for name, rendered in manifest["files"].items():
        fault = _fault(folder / name, rendered)
        if fault:
            raise CorruptRelease(
                f"release {release} is damaged: {folder / name} {fault}. It is not promoted; "
                "render a new release from the same artifacts (of a remote store this is a copy: "
                f"deleting {folder} may be enough)"
            )


def _fault(file: Path, rendered: dict[str, Any]) -> str:
    if not file.is_file():
        return "is missing"
    size = file.stat().st_size
    if size != rendered["bytes"]:
        return f"has {size} bytes instead of {rendered['bytes']}"
    if sha256(file) != rendered["sha256"]:
        return f"is not what was rendered (SHA-256 is not {rendered['sha256'][:12]}...)"
    return ""
