"""Item embeddings of the two-tower model within a ranker. Runs in both environments."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recsys_assets.ranking.scoring import CANDIDATE_TOWER
from recsys_assets.retrieval.item_tower import ItemTower
from recsys_assets.retrieval.quantized_rows import Rows

ITEM_VECTORS = "item_vectors.npy"  # in the place of the tower, in a release of lower precision
_DAY = 86_400


def item_vectors(
    folder: Path,
    item_columns: Mapping[str, np.ndarray],
    text: np.ndarray | Rows,
    threads: int = 1,
) -> Rows:
    """What a release holds of them; where it holds the tower instead, what that makes.

    Args:
        folder: of the two-tower model within the artifact `dlrm`.
        item_columns: as for `Ranker`.
        text: float32 [m, t], text embeddings of the items.
        threads: of onnxruntime.

    Raises:
        FileNotFoundError: the folder has neither vectors nor tower.
    """
    if (folder / ITEM_VECTORS).exists():
        return Rows.load(folder / ITEM_VECTORS)
    tower = ItemTower(folder, threads, CANDIDATE_TOWER)
    embedded = tower.embed(item_columns, text[:], _release_moment(item_columns))
    return Rows.of(embedded, "fp32")


def _release_moment(item_columns: Mapping[str, np.ndarray]) -> int:
    """The midnight after the last sale: the moment as of which the items are known."""
    last = np.nanmax(item_columns["last_sold_at"], initial=0)
    return int(last // _DAY + 1) * _DAY
