"""Stores with releases and versions of any age, for tests of what is removed from them."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recsys_assets.releases.release import MANIFEST, Reason, Releases
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import local_path

PARTS = ("two_tower", "dlrm")
BECAUSE = Reason("a test", "pytest")
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def age(folder: Path, days: float) -> None:
    """Makes everything below a folder so many days older than now."""
    at = (NOW - days * DAY).timestamp()
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (at, at))


class Shop:
    """A store in which a release is made of the current versions of two artifacts."""

    def __init__(self, url: str, cache: Path):
        self.store = Store(url, cache)
        self.releases = Releases(self.store)
        self.given: list[int] = []

    @property
    def root(self) -> Path:
        """The folder, of a store on a disk."""
        path = local_path(self.store.url)
        assert path is not None
        return path

    def train(self, artifact: str) -> str:
        """A new version; it says its own name."""
        with self.store.artifact(artifact).new_version() as draft:
            (draft.path / "folder").mkdir()
            (draft.path / "folder/weights").write_text(draft.version)
        return draft.version

    def render(self, artifacts: Mapping[str, str] | None = None) -> int:
        """The next release; a file of it says its number."""
        named = {part: (artifacts or {}).get(part, part) for part in PARTS}
        made_of = {
            part: {"artifact": name, "version": self.store.artifact(name).current()}
            for part, name in named.items()
        }
        with self.releases.new() as draft:
            (draft.path / "models").mkdir()
            (draft.path / "models/number").write_text(draft.version)
            manifest = {"release": int(draft.version), "artifacts": made_of}
            (draft.path / MANIFEST).write_text(json.dumps(manifest))
        self.given.append(int(draft.version))
        return int(draft.version)

    def promote(self, release: int) -> None:
        """As `promotion.promote` records it."""
        serving = self.releases.promoted()
        if serving is None or serving.release != release:
            before = (*serving.before, serving.release) if serving else ()
            self.releases.record(release, before, BECAUSE)

    def roll_back(self) -> None:
        """As `promotion.rollback` records it."""
        serving = self.releases.promoted()
        if serving is not None and serving.previous is not None:
            self.releases.record(serving.previous, serving.before[:-1], BECAUSE, "rolled back")
            self.releases.reject(serving.release, "rolled back")

    def require_whole(self, release: int) -> None:
        """The release and what it is made of can be fetched, and are what they were."""
        assert (self.releases.fetch(release) / "models/number").read_text() == str(release)
        for part in PARTS:
            version = self.releases.manifest(release)["artifacts"][part]["version"]
            weights = self.releases.part(release, part) / "folder/weights"
            assert weights.read_text() == version

    def require_consistent(self) -> None:
        """Every release that there is, is whole; so is every current version."""
        for release in self.releases.numbers():
            self.require_whole(release)
        for part in PARTS:
            self.store.artifact(part).fetch()
        live = self.releases.promoted()
        if live is not None:
            self.require_whole(live.release)
            if live.previous is not None:
                self.require_whole(live.previous)
