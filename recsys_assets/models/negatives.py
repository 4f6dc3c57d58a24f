"""Negatives drawn while training, and the correction of scores for how they are drawn.

Runs in both environments.

Popular items are drawn more often, else a ranker learns little but popularity; a share comes from
the whole catalogue, so that no item is beyond what was trained. A model that tells purchases
apart from draws of a distribution q scores log p(i | request) - log q(i) (noise-contrastive
estimation: Gutmann & Hyvärinen, AISTATS 2010); adding log q(i) back gives the order by p.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from recsys_assets.models.item_history import ItemHistory

_DAY = 86_400
_POPULARITY = "popularity_28d"
RETRIEVAL = "retrieval"  # the folder of the two-tower model within the artifact
CANDIDATE_TOWER = "candidate_tower.onnx"
# What of the artifact `two_tower` goes there, and under which name.
RETRIEVAL_FILES = {
    "query_tower.onnx": "query_tower.onnx",
    "item_tower.onnx": CANDIDATE_TOWER,
    "encoding.json": "encoding.json",
    "tastes.npz": "tastes.npz",
}
_FILE = "scoring.json"


@dataclass(frozen=True)
class NegativeDistribution:
    """q(i): popularity ** `exponent` for a share of 1 - `uniform_share`, else any item."""

    exponent: float
    uniform_share: float

    def log_probability(self, popularity: np.ndarray) -> np.ndarray:
        """Log q of every item, float64 [items], from purchases in 28 days [items], NaN = none."""
        weights = np.nan_to_num(popularity) ** self.exponent * (np.nan_to_num(popularity) > 0)
        total = weights.sum()
        popular = weights / total if total else np.full(len(weights), 1 / len(weights))
        return np.log((1 - self.uniform_share) * popular + self.uniform_share / len(weights))


@dataclass
class NegativeSampler:
    """Draws negatives as of any day, never an item that the user has bought or soon buys.

    Args:
        history: what was known of the items.
        distribution: what to draw from.
        bought: int64, sorted keys `user * items + item` of first purchases.
        bought_at: int64, epoch seconds of each.
    """

    history: ItemHistory
    distribution: NegativeDistribution
    bought: np.ndarray
    bought_at: np.ndarray
    _cumulative: dict[int, np.ndarray] = field(default_factory=dict)

    def draw(
        self, user: np.ndarray, timestamp: np.ndarray, count: int, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """`count` items for each of n purchases.

        Args:
            user: int64 [n], user numbers as in `bought`.
            timestamp: int64 [n], epoch seconds of the purchases.
            count: negatives a purchase.
            random: generator.

        Returns:
            Item rows int64 [n, count], and which of them may be used, bool [n, count].
        """
        items = len(self.history.item_ids)
        drawn = np.empty((len(user), count), dtype=np.int64)
        days = timestamp // _DAY
        for day in np.unique(days):
            rows = np.flatnonzero(days == day)
            cumulative = self._of_day(int(day))
            picks = np.searchsorted(cumulative, random.random((len(rows), count)), side="right")
            drawn[rows] = np.minimum(picks, items - 1)
        keys = user[:, None] * items + drawn
        position = np.minimum(np.searchsorted(self.bought, keys), len(self.bought) - 1)
        soon = self.bought_at[position] < timestamp[:, None] + 7 * _DAY
        return drawn, ~((self.bought[position] == keys) & soon)

    def _of_day(self, day: int) -> np.ndarray:
        if day not in self._cumulative:
            rows = np.arange(len(self.history.item_ids))
            moments = np.full(len(rows), day * _DAY)
            popularity = self.history.activity_at(rows, moments)[_POPULARITY]
            probability = np.exp(self.distribution.log_probability(popularity))
            self._cumulative[day] = np.cumsum(probability) / probability.sum()
        return self._cumulative[day]


@dataclass(frozen=True)
class Scoring:
    """What is added to the DLRM's log-odds.

    Attributes:
        negatives: the distribution that its training drew negatives from.
        similarity_weight: factor of the inner product of query and item embedding: the weight
            of the two-tower model, divided by its temperature.
    """

    negatives: NegativeDistribution
    similarity_weight: float

    def correction(self, popularity: np.ndarray) -> np.ndarray:
        """Log q of all items, float32 [m], from their purchases in 28 days."""
        return self.negatives.log_probability(popularity).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Writes `scoring.json`."""
        (folder / _FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Scoring":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: the folder has no `scoring.json`.
        """
        stored = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return cls(NegativeDistribution(**stored["negatives"]), stored["similarity_weight"])
