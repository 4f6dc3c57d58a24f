"""A retrieval stage over a matrix of vectors, searched exhaustively."""

import json
from pathlib import Path

import numpy as np

from recsys_assets.serving.circuit import connect
from recsys_assets.serving.pipeline import RetrieveStage
from recsys_assets.serving.seen_items import SeenItems
from recsys_assets.serving.triton_stage import StageModel
from recsys_assets.settings import load_settings


class TinyIndex:
    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors = vectors

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores = queries @ self._vectors.T
        rows = np.argsort(-scores, axis=1)[:, :k]
        return rows, np.take_along_axis(scores, rows, axis=1)


class TritonPythonModel(StageModel):
    @staticmethod
    def load(folder: Path) -> RetrieveStage:
        return RetrieveStage(
            index=TinyIndex(np.load(folder / "vectors.npy")),
            item_ids=json.loads((folder / "item_index/item_ids.json").read_text()),
            seen_items=SeenItems(connect(load_settings().online_store_url)),
            candidates=300,
            enough=100,
        )
