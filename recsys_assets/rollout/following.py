"""Which release a server should answer with, and the folders it is loaded from.

An agent reads the store at every look and remembers what it has read, on disk too: while the store
cannot be reached, and even if the pod's containers are started again meanwhile, the release that
was wanted last is served from the local folder.
"""

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsys_assets.releases.release import MANIFEST, Releases
from recsys_assets.releases.release_writing import CorruptRelease, verify
from recsys_assets.storage.filesystem import children, exists, write_atomically

_WANTED = "wanted.json"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class DesiredRelease:
    """A release, and the one to be kept loaded beside it, to go back to."""

    release: int
    previous: int | None = None


FollowPolicy = Callable[[Releases], DesiredRelease | None]


def promoted(releases: Releases) -> DesiredRelease | None:
    """The release that is recorded as live."""
    record = releases.promoted()
    return None if record is None else DesiredRelease(record.release, record.previous)


def newest(releases: Releases) -> DesiredRelease | None:
    """The newest complete release that has not been rejected."""
    numbers = (int(name) for name in children(releases.url) if name.isdecimal())
    for number in sorted(numbers, reverse=True):
        complete = exists(f"{releases.url}/{number}/{MANIFEST}")
        if complete and releases.rejection(number) is None:
            return DesiredRelease(number)
    return None


POLICIES: dict[str, FollowPolicy] = {"promoted": promoted, "newest": newest}


@dataclass
class Following:
    """What the store wants, as far as it can be reached, and whole local copies of releases.

    Attributes:
        releases: of the store; their cache is this agent's alone.
        policy: which release is wanted.
        wanted: what was read last, None before the first release.
    """

    releases: Releases
    policy: FollowPolicy
    wanted: DesiredRelease | None = None
    _verified: dict[int, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wanted = self.wanted or self._remembered()

    def look(self) -> None:
        """Reads the store.

        Raises:
            OSError: it cannot be reached; what was wanted last still is.
            UnreadableRecord: what it says is damaged; likewise.
        """
        found = self.policy(self.releases)
        # A store that wants nothing any more has lost its record: it is no reason to stop.
        if found is not None and found != self.wanted:
            data = json.dumps({"release": found.release, "previous": found.previous})
            write_atomically(self._memory.as_uri(), data.encode())
            self.wanted = found

    def fetch(self, release: int) -> Path:
        """A local folder with a release, whole and as it was rendered.

        Raises:
            CorruptRelease: it is not; a local copy is removed, to be fetched again.
            MissingRelease: the store has no such release.
            OSError: the store cannot be reached, and there is no local copy.
        """
        if release not in self._verified:
            copy = self._copies / str(release)
            folder = copy if copy.is_dir() else self.releases.fetch(release)
            try:
                verify(folder, _manifest(folder))
            except CorruptRelease:
                shutil.rmtree(copy, ignore_errors=True)
                raise
            self._verified[release] = folder
        return self._verified[release]

    def forget_all_but(self, kept: set[int]) -> None:
        """Removes local copies of other releases, and what a killed download has left."""
        self._verified = {n: folder for n, folder in self._verified.items() if n in kept}
        if not self._copies.is_dir():
            return
        names = {str(release) for release in kept}
        for entry in self._copies.iterdir():
            if entry.name not in names:
                shutil.rmtree(entry)

    def _remembered(self) -> DesiredRelease | None:
        """What was wanted last; None where that is not known, so that the store must say it."""
        if not self._memory.exists():
            return None
        try:
            said = json.loads(self._memory.read_text(encoding="utf-8"))
            return DesiredRelease(said["release"], said["previous"])
        except (ValueError, KeyError, TypeError) as error:
            _LOG.warning("%s cannot be read, the store is asked instead: %r", self._memory, error)
            return None

    @property
    def _copies(self) -> Path:
        return self.releases.store.cache / "releases"

    @property
    def _memory(self) -> Path:
        return self.releases.store.cache / _WANTED


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError) as error:
        raise CorruptRelease(f"{folder / MANIFEST} cannot be read: {error}") from error
