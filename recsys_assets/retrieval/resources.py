"""What differs between deployments for retrieval and ranking, as Dagster resources."""

from typing import Self

import dagster as dg

from recsys_assets.settings import Settings


class TrainingSpan(dg.ConfigurableResource):
    """The last day, YYYY-MM-DD in UTC, that models learn from; resource key `training_span`."""

    through: str

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The span of a deployment."""
        return cls(through=settings.train_through.isoformat())


class VectorIndex(dg.ConfigurableResource):
    """The kind of vector index, as RECSYS_INDEX; resource key `vector_index`."""

    kind: str

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The index of a deployment."""
        return cls(kind=settings.index_kind)
