"""Last stage of a request: candidates to the items shown, by ranker, diversity and sampling."""

import filecmp
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.models.device import CPU, Device
from recsys_assets.models.index.quantized_rows import Rows
from recsys_assets.models.negatives import RETRIEVAL
from recsys_assets.pipeline.available_items import Availability
from recsys_assets.pipeline.diversity import Diversity, Sampling, arrange, perturb
from recsys_assets.pipeline.exploration import Exploration, draw
from recsys_assets.pipeline.query import Columns, Queries
from recsys_assets.pipeline.requests import MAX_K

# Files of a release, beside the artifacts it is made of.
ITEMS = "items.parquet"  # attributes and activity of every item
TEXT_EMBEDDINGS = "item_text_embeddings.npy"
PROMOTIONS = "promotions.npz"  # the plan for the days to come
STAGE = "stage.json"  # depth of the search, diversity, sampling
POPULAR = 5 * MAX_K  # best sellers of a release, as some of them will be sold out
RANKER_WEIGHT = 0.2  # of the log-odds of the ranker beside those of candidates ranked ahead
POPULARITY_DISCOUNT = 0.1  # half as many sales are worth 0.07 of log-odds


class Scorer(Protocol):
    """`models.ranker.Ranker`."""

    def score_batch(
        self,
        user_columns: Columns,
        timestamps: np.ndarray,
        rows: Sequence[np.ndarray],
        embeddings: np.ndarray | None,
    ) -> list[np.ndarray]:
        """Scores float32 [m_i] of item rows int64 [m_i] for each of n users."""


@dataclass(frozen=True)
class Ranking:
    """The candidates of one request as the ranker sees them, and which of them are shown.

    `rows` int64 [m] are items in the order retrieved, `scores` float32 [m] belong to them, and
    `shown` int64 [<= k] are positions among them in the order shown, and `propensities` float32
    [<= k] the probability of each to get its place, given those before it: 1 where nothing is left
    to chance, NaN where the whole slate is sampled.
    """

    rows: np.ndarray
    scores: np.ndarray
    shown: np.ndarray
    propensities: np.ndarray

    @classmethod
    def in_order(cls, rows: np.ndarray, scores: np.ndarray) -> "Ranking":
        """All of the given items, shown as they come."""
        return cls(rows, scores, np.arange(len(rows)), np.ones(len(rows), dtype=np.float32))


@dataclass
class RankStage:
    """Orders candidates.

    Diversity is that of the items' texts: similar purchases make item embeddings of the tower
    alike for popular items, so that they hardly tell kinds of products apart.

    `popularity` float [items] counts purchases in 28 days, NaN = none. It gives the slate for
    everybody, `popular`, best first, which is shown where there is no time to rank.
    `same_tower` says that the ranker's own query tower is that of the query stage, as it is until
    one of them is fine-tuned: what the one has embedded the other need not.

    A candidate that was ranked ahead has log-odds of its own, to which those of `ranker` are
    added with `ranker_weight`. Among those a bestseller comes first only where it is better by
    more than `popularity_discount` times the logarithm of how much more it sells: such customers
    need no bestsellers to fill their slates, and find more of the catalogue. Scores stay.

    Places that `exploration` leaves to chance are drawn among the other candidates, with the
    probability of their odds over their sales: what may be liked and was bought by few.
    """

    ranker: Scorer
    vectors: np.ndarray | Rows
    popularity: np.ndarray
    diversity: Diversity
    sampling: Sampling
    same_tower: bool = False
    ranker_weight: float = RANKER_WEIGHT
    popularity_discount: float = POPULARITY_DISCOUNT
    exploration: Exploration = field(default_factory=Exploration)
    popular: Ranking = field(init=False)
    _log_sales: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.popular = most_popular(self.popularity)
        self._log_sales = log_sales(self.popularity)

    @classmethod
    def load(cls, folder: Path, device: Device = CPU) -> "RankStage":
        """From the version folder of a release."""
        from recsys_assets.models.item_history import Changes
        from recsys_assets.models.ranker import Ranker

        config = json.loads((folder / STAGE).read_text())
        # Mapped, so that all processes of a release share the pages.
        text = Rows.load(folder / TEXT_EMBEDDINGS)
        items = read_columns(folder / ITEMS)
        return cls(
            ranker=Ranker(
                folder / "dlrm", items, text, Changes.load(folder / PROMOTIONS), device=device
            ),
            vectors=text,
            popularity=items["popularity_28d"],
            diversity=Diversity(**config["diversity"]),
            sampling=Sampling(**config["sampling"]),
            same_tower=_same_files(folder / "two_tower", folder / "dlrm" / RETRIEVAL),
            # Absent in releases from before anything was ranked ahead, or discounted.
            ranker_weight=config.get("ranker_weight", RANKER_WEIGHT),
            popularity_discount=config.get("popularity_discount", 0.0),
            exploration=Exploration(**config.get("exploration", {})),
        )

    def rank(
        self,
        queries: Queries,
        timestamps: np.ndarray,
        rows: Sequence[np.ndarray],
        ahead: Sequence[np.ndarray | None],
        ks: np.ndarray,
    ) -> list[Ranking]:
        """Scores and orders the candidates of n requests.

        Args:
            queries: n requests, embedded.
            timestamps: int64 [n], epoch seconds.
            rows: n arrays int64 [m_i] of item rows, as retrieved.
            ahead: their log-odds float32 [m_i] where they were ranked ahead.
            ks: int64 [n], how many are shown at most.
        """
        if not len(rows):
            return []
        columns = queries.columns
        embeddings = queries.embeddings if self.same_tower else None
        scored = [
            blended(of_list, of_ranker, self.ranker_weight)
            for of_list, of_ranker in zip(
                ahead, self.ranker.score_batch(columns, timestamps, rows, embeddings), strict=True
            )
        ]
        users, moments = columns["user_id"].tolist(), timestamps.tolist()
        return [
            self._ranking(found, scores, of_list is not None, f"{user}@{moment}", k)
            for found, scores, of_list, user, moment, k in zip(
                rows, scored, ahead, users, moments, ks.tolist(), strict=True
            )
        ]

    def most_popular(self, k: int, availability: Availability) -> Ranking:
        """The k most popular items on sale, without regard to the user."""
        rows, scores = self.popular.rows, self.popular.scores
        best = np.flatnonzero(availability.on_sale(rows))[:k]
        return Ranking.in_order(rows[best], scores[best])

    def _ranking(
        self, rows: np.ndarray, scores: np.ndarray, listed: bool, request: str, k: int
    ) -> Ranking:
        if len(rows) == 0:
            return Ranking.in_order(rows, scores)
        order = scores - self.popularity_discount * self._log_sales[rows] if listed else scores
        number, sampled = zlib.crc32(request.encode()), self.sampling.temperature > 0
        places = min(k, len(rows))
        explored = self.exploration.places(places)
        shown = arrange(
            perturb(order, self.sampling, number) if sampled else order,
            lambda pool: self.vectors[rows[pool]],
            places - explored,
            self.diversity,
        )
        propensities = np.full(len(shown), np.nan if sampled else 1, dtype=np.float32)
        if explored:
            left = np.delete(np.arange(len(rows)), shown)
            odds = order[left] - self._log_sales[rows[left]]
            drawn, chances = draw(odds, explored, self.exploration.generator(number))
            shown = np.concatenate([shown, left[drawn]])
            propensities = np.concatenate([propensities, chances])
        return Ranking(rows, scores, shown, propensities)


def blended(ahead: np.ndarray | None, by_ranker: np.ndarray, ranker_weight: float) -> np.ndarray:
    """Log-odds float32 [m] of candidates from those ranked ahead, if any, and the ranker's."""
    return by_ranker if ahead is None else ahead + np.float32(ranker_weight) * by_ranker


def log_sales(popularity: np.ndarray) -> np.ndarray:
    """ln(1 + purchases), float32 [items], of purchases in 28 days, float [items], NaN = none."""
    return np.log1p(np.nan_to_num(popularity)).astype(np.float32)


def most_popular(popularity: np.ndarray) -> Ranking:
    """The `POPULAR` items most bought in 28 days, float [items], NaN = never; scores are logs."""
    known = np.nan_to_num(popularity)
    best = np.argsort(-known, kind="stable")[:POPULAR].astype(np.int64)
    return Ranking.in_order(best, np.log1p(known[best]).astype(np.float32))


def _same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same query tower."""
    files = ("query_tower.onnx", "encoding.json", "tastes.npz")
    return all(filecmp.cmp(one / name, other / name, shallow=False) for name in files)


def read_columns(file: Path) -> Columns:
    """Columns of a Parquet file: text with "" for missing, numbers as float64 with NaN."""
    from recsys_assets.models.item_history import numbers, strings

    table = pq.read_table(file)
    return {
        field.name: (strings if pa.types.is_string(field.type) else numbers)(table[field.name])
        for field in table.schema
    }
