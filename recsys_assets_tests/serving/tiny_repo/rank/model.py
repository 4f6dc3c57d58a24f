"""A ranking stage that scores an item by its row, and by the user's spend where it is known."""

import json
from pathlib import Path

import numpy as np

from recsys_assets.serving.diversity import Diversity, Sampling
from recsys_assets.serving.pipeline import RankStage
from recsys_assets.serving.triton_stage import RankModel


class TinyRanker:
    def score(
        self, user_columns: dict[str, np.ndarray], timestamp: int, rows: np.ndarray
    ) -> np.ndarray:
        return (np.nan_to_num(user_columns["spend"][0]) - rows).astype(np.float32)


class TritonPythonModel(RankModel):
    @staticmethod
    def load(folder: Path) -> RankStage:
        vectors = np.load(folder / "vectors.npy")
        return RankStage(
            ranker=TinyRanker(),
            item_ids=np.array(
                json.loads((folder / "item_index/item_ids.json").read_text()), dtype=object
            ),
            vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
            diversity=Diversity(trade_off=1.0, pool=50),
            sampling=Sampling(temperature=0.0, seed=0),
        )
