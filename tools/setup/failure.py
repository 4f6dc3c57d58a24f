"""Why a set-up ends, in one line."""

import errno
import re
import shutil
from pathlib import Path


class Failure(Exception):
    """What failed, and what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}")


_AGAIN = "run the same command again, it goes on where it stopped"
_NETWORK = (
    r"error sending request|timed? ?out|connection (reset|refused|closed|aborted|broken)"
    r"|dns error|resolve|unreachable|incompletemessage|tunnel|proxy|retries exceeded|unexpected eof"
    r"|failed to (fetch|download)|could not connect|error decoding response|request failed"
)
# What a command says when it fails, and what that means. The first that fits counts.
_MEANINGS = (
    (r"no space left on device", "the disk is full", "free some space and " + _AGAIN),
    (
        r"permission denied|read-only file system|are you root",
        "no permission to write",
        "use a clone and a cache folder of your own, as the user who owns them",
    ),
    (
        r"hash mismatch|do not match the hashes|different hashes|hashes? required",
        "a package is not the one that was locked",
        "the index or mirror delivers other files: use another",
    ),
    (
        r"no version of|not found in the package registry|no matching distribution|404 not found",
        "the index has no such package",
        "use another index or mirror (UV_DEFAULT_INDEX, PIP_INDEX_URL)",
    ),
    (
        r"could not get lock",
        "another apt is at work",
        "wait until it has ended and " + _AGAIN,
    ),
    (
        _NETWORK,
        "the network failed",
        "check the connection, HTTPS_PROXY and the index, then " + _AGAIN,
    ),
)


def explain(what: str, output: str, log: Path) -> Failure:
    """The failure of a command by what it printed."""
    for pattern, meaning, remedy in _MEANINGS:
        if re.search(pattern, output, re.IGNORECASE):
            return Failure(f"{what} failed, {meaning}", f"{remedy} (log: {log})")
    said = [line.strip() for line in output.splitlines() if line.strip()]
    reason = f", {said[-1][:200]}" if said else ""
    return Failure(f"{what} failed{reason}", f"see {log}")


def of_the_network(output: str) -> bool:
    """Whether trying again may help."""
    return bool(re.search(_NETWORK, output, re.IGNORECASE)) and not re.search(
        _MEANINGS[0][0], output, re.IGNORECASE
    )


def of_the_system(error: OSError) -> Failure:
    """The failure of a file operation."""
    file = error.filename or "a file"
    if error.errno == errno.ENOSPC:
        return Failure(f"writing {file} failed, the disk is full", "free some space and " + _AGAIN)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Failure(
            f"no permission to write {file}", "use a clone that belongs to the user who sets it up"
        )
    return Failure(f"{file}: {error.strerror or error}", _AGAIN)


def require_space(folder: Path, needed: int) -> None:
    """Raises a Failure where a folder's disk has fewer free bytes."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Failure(
            f"{folder} has {free / 1e9:.1f} GB free and {needed / 1e9:.1f} GB are needed",
            "free some space, or set UV_CACHE_DIR to a folder on another disk",
        )
