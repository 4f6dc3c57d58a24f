"""Releases in the store: `<store>/releases/<n>/`, and which of them is promoted.

A release is one number over everything that answers a request. It exists once its
`manifest.json` does, which is written last on S3 and appears with the whole folder, by one
rename, on a file system. It is never changed afterwards. What a release is made of is in
`rendering.py`; how one gets into a server in `promotion.py`.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_assets.releases.release_events import (
    ANYTHING,
    UNRECORDED,
    Action,
    Anything,
    Promoted,
    Reason,
    changes,
    last_change,
    read_rejection,
    record_change,
    write_rejection,
)
from recsys_assets.releases.release_writing import MANIFEST, new_on_disk, new_on_s3
from recsys_assets.storage import Draft, Store
from recsys_assets.storage.filesystem import (
    download_folder,
    exists,
    files_below,
    folders_with,
    local_path,
    read_bytes,
    write_atomically,
)

_APPROVED = "approved"
_REFRESHES = "refreshes"
_NEWEST = 20


class MissingRelease(LookupError):
    """A release that is not in the store."""


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
        return sorted(int(n) for n in folders_with(self.url, MANIFEST) if n.isdecimal())

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

    def latest_initial(self) -> int:
        """The newest release of `triton_model_repository`.

        Others are candidates, which are held against a live release before they are approved.

        Raises:
            MissingRelease: there is none.
        """
        for number in reversed(self.numbers()):
            if self.manifest(number).get("base_release") is None:
                return number
        raise MissingRelease(
            f"there is no release of initial models at {self.url}: materialize "
            "triton_model_repository"
        )

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

    def part(self, release: int, name: str) -> Path:
        """A local folder with the artifact that a part of a release was made of.

        Unlike the release itself it holds what training goes on from. `name` is one of
        `rendering.PARTS`.

        Raises:
            MissingRelease: there is no such release.
            MissingArtifact: the artifact is gone.
        """
        artifact, version = self.made_of(release, [name])[name]
        return self.store.artifact(artifact).fetch(version)

    def made_of(self, release: int, parts: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Artifact and version of parts of a release, by part; of those that it has.

        Raises:
            MissingRelease: there is no such release.
        """
        made_of = self.manifest(release)["artifacts"]
        return {
            part: (made_of[part]["artifact"], made_of[part]["version"])
            for part in parts
            if part in made_of
        }

    def fetch(self, release: int) -> Path:
        """A local folder with a release: the stored one, or a cached copy of a remote one.

        A copy of another store's release of that number, or of one before the store was emptied,
        is replaced.

        Raises:
            MissingRelease: there is no such release.
        """
        manifest = self.manifest(release)
        url = f"{self.url}/{release}"
        stored = local_path(url)
        if stored is not None:
            return stored
        copy = self.store.cache / "releases" / str(release)
        if copy.exists() and not _is_of(copy, manifest):
            shutil.rmtree(copy)
        if not copy.exists():
            download_folder(url, copy)
        return copy

    def made_by(self, *run_ids: str | None) -> int | None:
        """Of the newest releases the last one that any of the runs has rendered, or None."""
        runs = {run_id for run_id in run_ids if run_id is not None}
        for number in reversed(self.numbers()[-_NEWEST:]):
            if self.manifest(number).get("run_id") in runs:
                return number
        return None

    def weights_of(self, release: int) -> int:
        """The release that brought the weights of this one: itself, unless it is a refresh."""
        return self.refreshes().get(release, release)

    def note_refresh(self, release: int, weights: int) -> None:
        """Notes that a release is one of earlier weights over newer data.

        The note stays when the release is removed, as logs still name it.
        """
        write_atomically(f"{self.url}/{_REFRESHES}/{weights}/{release}", b"")

    def refreshes(self) -> dict[int, int]:
        """Every refresh there ever was, with the release that brought its weights."""
        notes = (name.split("/") for name in files_below(f"{self.url}/{_REFRESHES}"))
        return {int(note[1]): int(note[0]) for note in notes if note[-1].isdecimal()}

    def approve(self, release: int) -> None:
        """Records that a release has passed the checks that promotion asks for."""
        self.manifest(release)
        write_atomically(f"{self.url}/{_APPROVED}/{release}", b"")

    def is_approved(self, release: int) -> bool:
        """Whether a release has passed its checks."""
        return exists(f"{self.url}/{_APPROVED}/{release}")

    def reject(self, release: int, reason: str) -> None:
        """Records that a release is not to be promoted; it is kept, and named with the reason."""
        self.manifest(release)
        write_rejection(self.url, release, reason)

    def rejection(self, release: int) -> str | None:
        """Why a release is not to be promoted; None if nothing speaks against it."""
        return read_rejection(self.url, release)

    @contextmanager
    def new(self) -> Iterator[Draft]:
        """Writes the next release: fill the draft's folder; it is published on leaving.

        The number belongs to this caller alone. On an error, or a kill, nothing is visible.
        On a file system renderings wait for each other; on S3 a number once claimed is not
        given again, so numbers may have gaps.

        Raises:
            DiskFull: there is no space for it.
        """
        root = local_path(self.url)
        with new_on_s3(self.url) if root is None else new_on_disk(root, self.numbers) as draft:
            yield draft

    def promoted(self) -> Promoted | None:
        """The promoted release, or None before the first promotion."""
        return last_change(self.url)

    def history(self) -> list[Promoted]:
        """All changes of the promoted release, from the first to the one in force."""
        return changes(self.url)

    def record(
        self,
        release: int,
        before: tuple[int, ...],
        reason: Reason = UNRECORDED,
        action: Action = "promoted",
        expected: Promoted | None | Anything = ANYTHING,
    ) -> Promoted:
        """Records a change of the promoted release in one atomic write.

        Raises:
            ChangedMeanwhile: see `record_change`.
        """
        return record_change(self.url, release, before, reason, action, expected)


def _is_of(copy: Path, manifest: dict[str, Any]) -> bool:
    file = copy / MANIFEST
    return file.is_file() and json.loads(file.read_text(encoding="utf-8")) == manifest


__all__ = ["MANIFEST", "MissingRelease", "Promoted", "Reason", "Releases"]
