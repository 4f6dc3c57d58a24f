"""First stage of a request: from its context and the user's features to a query embedding."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from recsys_assets.models.device import Device
from recsys_assets.pipeline.circuit import Circuit, StoreUnavailable, connect
from recsys_assets.pipeline.requests import Requests

Columns = dict[str, np.ndarray]

USER_COLUMNS = "user_columns.json"  # names of the user features that the models take


class UserFeatures(Protocol):
    """Where user features come from: `features.reader.OnlineUserFeatures`."""

    def read(self, user_ids: list[str]) -> Columns:
        """Columns of n rows in one round trip; a user without a row has missing values."""

    def missing(self, count: int) -> Columns:
        """The same columns with every value missing, of `count` rows."""


class Tower(Protocol):
    """`models.towers.QueryTower`."""

    def embed(self, columns: Columns, timestamps: np.ndarray) -> np.ndarray:
        """Query embeddings, float32 [n, d]."""


@dataclass(frozen=True)
class Queries:
    """n requests with their users' features, as the models see them.

    `columns` hold [n] values each, `embeddings` are float32 [n, d], and `degraded` bool [n] marks
    users whose features could not be read.
    """

    columns: Columns
    embeddings: np.ndarray
    degraded: np.ndarray

    def take(self, rows: np.ndarray) -> "Queries":
        """Those of the given numbers, int64 [m]."""
        return Queries(
            {name: values[rows] for name, values in self.columns.items()},
            self.embeddings[rows],
            self.degraded[rows],
        )


@dataclass
class QueryStage:
    """Reads user features from the online store and embeds the requests."""

    features: UserFeatures
    tower: Tower
    circuit: Circuit = field(default_factory=Circuit)

    @classmethod
    def load(cls, folder: Path, online_store_url: str, device: Device) -> "QueryStage":
        """From the version folder of a release."""
        from recsys_assets.features.reader import OnlineUserFeatures
        from recsys_assets.models.towers import QueryTower

        columns = json.loads((folder / USER_COLUMNS).read_text())
        return cls(
            features=OnlineUserFeatures(connect(online_store_url), columns),
            tower=QueryTower(folder / "two_tower", device=device),
        )

    def run(self, requests: Requests) -> Queries:
        """Embeds n requests; user features take one round trip."""
        features, degraded = self._features(requests.user_ids)
        columns = {**features, **context(requests)}
        return Queries(columns, self.tower.embed(columns, requests.timestamps), degraded)

    def without_features(self, requests: Requests) -> Columns:
        """Columns of requests whose features are not read."""
        return {**self.features.missing(len(requests)), **context(requests)}

    def _features(self, user_ids: list[str]) -> tuple[Columns, np.ndarray]:
        """Features, and which rows lack them for an outage; anonymous rows have none to lack."""
        known = np.array([user != "" for user in user_ids])
        if not known.any():
            return self.features.missing(len(user_ids)), known
        try:
            return self.circuit.call(lambda: self.features.read(user_ids)), np.zeros_like(known)
        except StoreUnavailable:
            return self.features.missing(len(user_ids)), known


def context(requests: Requests) -> Columns:
    """What a request says itself, as columns."""
    return {
        "user_id": np.array(requests.user_ids, dtype=object),
        "device": np.array(requests.devices, dtype=object),
    }
