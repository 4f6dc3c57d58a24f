"""What differs between deployments for retrieval and ranking, as Dagster resources."""

from typing import Self

import dagster as dg

from recsys_assets.settings import Settings


class VectorIndex(dg.ConfigurableResource):
    """The kind of vector index, as RECSYS_INDEX; resource key `vector_index`."""

    kind: str

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The index of a deployment."""
        return cls(kind=settings.index_kind)
