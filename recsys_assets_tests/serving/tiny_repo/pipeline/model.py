"""A pipeline without trained models over a matrix of vectors, searched exhaustively."""

import json
import zlib
from pathlib import Path

import numpy as np
import redis

from recsys_assets.models.device import Device
from recsys_assets.pipeline.circuit import connect
from recsys_assets.pipeline.diversity import Diversity, Sampling
from recsys_assets.pipeline.pipeline import Effort, Pipeline
from recsys_assets.pipeline.query import QueryStage
from recsys_assets.pipeline.rank import RankStage
from recsys_assets.pipeline.retrieve import Depth, RetrieveStage
from recsys_assets.pipeline.seen_items import SeenItems
from recsys_assets.settings import load_settings
from recsys_assets.triton.served_model import PipelineModel

DIMENSIONS = 8


class TinyFeatures:
    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def read(self, user_ids: list[str]) -> dict[str, np.ndarray]:
        values = self._client.mget([f"spend:{user}" for user in user_ids])
        return {"spend": np.array([np.nan if v is None else float(v) for v in values])}

    def missing(self, count: int) -> dict[str, np.ndarray]:
        return {"spend": np.full(count, np.nan)}


class TinyTower:
    """The embedding is a hash of user, device and moment, as text."""

    def embed(self, columns: dict[str, np.ndarray], timestamps: np.ndarray) -> np.ndarray:
        seeds = [
            zlib.crc32(f"{user}{device}".encode()) + int(time)
            for user, device, time in zip(
                columns["user_id"], columns["device"], timestamps, strict=True
            )
        ]
        rows = [np.random.default_rng(seed).normal(size=DIMENSIONS) for seed in seeds]
        return np.array(rows, dtype=np.float32)


class TinyIndex:
    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors = vectors

    def search(
        self, queries: np.ndarray, k: int, budget: str = "normal"
    ) -> tuple[np.ndarray, np.ndarray]:
        scores = queries @ self._vectors.T
        rows = np.argsort(-scores, axis=1)[:, :k]
        return rows, np.take_along_axis(scores, rows, axis=1)


class TinyRanker:
    """Scores an item by its row, and by the user's spend where it is known."""

    def score_batch(
        self,
        user_columns: dict[str, np.ndarray],
        timestamps: np.ndarray,
        rows: list[np.ndarray],
        embeddings: np.ndarray | None = None,
    ) -> list[np.ndarray]:
        spent = np.nan_to_num(user_columns["spend"])
        return [
            (of_user - found).astype(np.float32) for of_user, found in zip(spent, rows, strict=True)
        ]


class TinyPipeline(Pipeline):
    """Here, so that a release can be given another one."""


class TritonPythonModel(PipelineModel):
    @staticmethod
    def load(folder: Path, _: Device) -> Pipeline:
        store = connect(load_settings().online_store_url)
        vectors = np.load(folder / "vectors.npy")
        ids = json.loads((folder / "item_index/item_ids.json").read_text())
        return TinyPipeline(
            QueryStage(TinyFeatures(store), TinyTower()),
            RetrieveStage(TinyIndex(vectors), len(ids), SeenItems(store, ids)),
            RankStage(
                ranker=TinyRanker(),
                vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
                popularity=np.arange(len(ids), dtype=float),
                diversity=Diversity(trade_off=1.0, pool=50),
                sampling=Sampling(temperature=0.0, seed=0),
            ),
            {Effort.FULL: Depth(300, 100, 100), Effort.FEWER_CANDIDATES: Depth(100, 20, 40)},
            ids,
        )
