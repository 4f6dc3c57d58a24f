"""Whole files of the local file system: replaced at once, under a condition, or not at all."""

import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A file to be written beside `target`, which it replaces, synced, on leaving without error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        yield staging
        with staging.open("rb") as stream:
            os.fsync(stream.fileno())
        staging.replace(target)
    finally:
        staging.unlink(missing_ok=True)


def version_of(data: bytes) -> str:
    """What tells one content from another."""
    return hashlib.sha256(data).hexdigest()


def write_if(target: Path, data: bytes, version: str | None) -> bool:
    """Writes a file if it is what was read, or absent for None; whether that was so.

    The folder is locked meanwhile, by a lock that the kernel releases if the process is killed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        found = version_of(target.read_bytes()) if target.exists() else None
        if found != version:
            return False
        with replacing(target) as staging:
            staging.write_bytes(data)
        return True
    finally:
        os.close(folder)
