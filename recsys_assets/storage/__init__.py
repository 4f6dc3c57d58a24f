"""Where artifacts live: Parquet tables and versioned folders under one storage URL."""

from recsys_assets.storage.filesystem import write_atomically
from recsys_assets.storage.s3 import StorageUnavailable
from recsys_assets.storage.store import (
    Artifact,
    Draft,
    MissingArtifact,
    MissingPartition,
    Store,
    Table,
)

__all__ = [
    "Artifact",
    "Draft",
    "MissingArtifact",
    "MissingPartition",
    "StorageUnavailable",
    "Store",
    "Table",
    "write_atomically",
]
