"""The artifact store: everything the graph writes, under one URL."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from recsys_assets.storage.artifacts import Artifact
from recsys_assets.storage.tables import Table


def _default_cache() -> Path:
    return Path(tempfile.gettempdir()) / "recsys-artifacts"


@dataclass(frozen=True)
class Store:
    """Tables at `<url>/tables/<name>`, artifacts at `<url>/artifacts/<name>`."""

    url: str
    cache: Path = field(default_factory=_default_cache)

    def table(self, name: str) -> Table:
        """The table of that name, written or not."""
        return Table(name, f"{self.url.rstrip('/')}/tables/{name}")

    def artifact(self, name: str) -> Artifact:
        """The artifact of that name, published or not."""
        return Artifact(name, f"{self.url.rstrip('/')}/artifacts/{name}", self.cache)
