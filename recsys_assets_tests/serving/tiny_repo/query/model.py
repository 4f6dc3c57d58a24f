"""A query stage without trained models: the embedding is a hash of the user, as text."""

import zlib
from pathlib import Path

import numpy as np
import redis

from recsys_assets.serving.circuit import connect
from recsys_assets.serving.pipeline import QueryStage
from recsys_assets.serving.triton_stage import StageModel
from recsys_assets.settings import load_settings

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
    def embed(self, columns: dict[str, np.ndarray], timestamps: np.ndarray) -> np.ndarray:
        seeds = [
            zlib.crc32(f"{user}{device}".encode()) + int(time)
            for user, device, time in zip(
                columns["user_id"], columns["device"], timestamps, strict=True
            )
        ]
        rows = [np.random.default_rng(seed).normal(size=DIMENSIONS) for seed in seeds]
        return np.array(rows, dtype=np.float32)


class TritonPythonModel(StageModel):
    @staticmethod
    def load(folder: Path) -> QueryStage:
        return QueryStage(TinyFeatures(connect(load_settings().online_store_url)), TinyTower())
