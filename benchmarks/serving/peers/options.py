"""What every stage of a peer is told: the release it works with, and where its lookups listen."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.serving.peers.release import ReleaseVersion

_FILE = "peer.json"


@dataclass(frozen=True)
class Options:
    """Of one peer.

    Attributes:
        version_folder: with the files of a rendered release, `models/pipeline/<release>`.
        release: its number, which answers carry.
        user_socket: name of the abstract socket that looks up users in Feast.
        item_socket: likewise for items; empty: the item rows are cached in the process.
    """

    version_folder: str
    release: int
    user_socket: str
    item_socket: str

    def save(self, folder: Path) -> None:
        """Writes them for the stages of the model repository `<folder>/models`."""
        (folder / _FILE).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def of_model(cls, model_repository: str) -> "Options":
        """Read by a model whose own folder is `<folder>/models/<model>`."""
        return cls.load(Path(model_repository).parents[1])

    @classmethod
    def load(cls, folder: Path) -> "Options":
        """Reads what `save` wrote."""
        return cls(**json.loads((folder / _FILE).read_text(encoding="utf-8")))

    def file(self, name: str) -> Path:
        """A file or folder of the release."""
        return Path(self.version_folder) / name

    def item_ids(self) -> list[str]:
        """Ids by row of the index."""
        return ReleaseVersion(self.release, Path(self.version_folder)).item_ids()
