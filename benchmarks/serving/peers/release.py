"""The release that is being measured: the promoted one. Runs in both environments."""

import json
from dataclasses import dataclass
from pathlib import Path

from recsys_assets.models.towers import ITEM_IDS
from recsys_assets.releases.release import Releases
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.settings import Settings
from recsys_assets.storage import Store
from recsys_assets.triton.repository import PIPELINE


@dataclass(frozen=True)
class ReleaseVersion:
    """A release's number, and the folder with what its models are loaded from."""

    release: int
    folder: Path

    def item_ids(self) -> list[str]:
        """Ids by row of the index."""
        file = self.folder / "item_index" / ITEM_IDS
        return list(json.loads(file.read_text(encoding="utf-8")))


def promoted_version(settings: Settings) -> ReleaseVersion:
    """The promoted release, where it can be read.

    Raises:
        ServiceError: nothing is promoted, or it was rendered for another layout.
    """
    releases = Releases(Store(settings.storage_url))
    promoted = releases.promoted()
    if promoted is None:
        raise ServiceError(
            f"no release of {releases.url} is promoted: materialize promoted_release"
        )
    number = promoted.release
    folder = releases.fetch(number) / "models" / PIPELINE / str(number)
    if not folder.is_dir():
        raise ServiceError(
            f"{folder} does not exist: release {number} was rendered for another layout. "
            "Materialize triton_model_repository and promote the new release"
        )
    return ReleaseVersion(number, folder)
