"""What a setting of the slate does to its quality, its diversity and its time.

Candidates are found and scored once, by a rendered release for the requests of the evaluation
week. Each setting then arranges the same scores, so that differences are the setting's alone. On
live data the release knows the days that it is asked about: there the figures only compare.
"""

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from recsys_assets.evaluation.split import Split, user_columns
from recsys_assets.events.contract import distinct
from recsys_assets.metrics import (
    Estimate,
    bootstrap,
    cosines,
    coverage,
    hits,
    intra_list_diversity,
    ndcg,
    recall,
)
from recsys_assets.pipeline.diversity import Diversity, Sampling, arrange, perturb
from recsys_assets.releases.offline import OfflineRelease, Sessions
from recsys_assets.settings.days import Days
from recsys_assets.slates import PADDING
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from scipy import sparse

K = 10
METRICS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "ndcg_at_10": ndcg,
    "recall_at_10": recall,
}


@dataclass(frozen=True)
class SlateSetting:
    """How slates are arranged: once for each seed, where temperature is above 0."""

    name: str
    diversity: Diversity
    temperature: float = 0.0
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Scored:
    """The candidates of n requests.

    Attributes:
        rows: n arrays int64 [m_i], catalogue rows, best score first.
        scores: n arrays float32 [m_i].
        requests: n strings that tell requests apart, as in serving.
        relevant: 0/1 CSR [n, items].
    """

    rows: list[np.ndarray]
    scores: list[np.ndarray]
    requests: list[str]
    relevant: "sparse.csr_matrix"


@dataclass(frozen=True)
class Kinds:
    """What the catalogue's items are: text `vectors` float32 [items, d], `categories` [items]."""

    vectors: np.ndarray
    categories: np.ndarray

    @classmethod
    def load(cls, store: Store, item_ids: np.ndarray) -> "Kinds":
        """Of the given items, in their order.

        Raises:
            MissingPartition: a table has not been materialized.
        """
        from recsys_assets.models.training_data import text_embeddings

        items = store.table("items").read(columns=["item_id", "category_l2"]).to_pylist()
        named = {item["item_id"]: item["category_l2"] or "" for item in items}
        of_items = np.array([named[item_id] for item_id in item_ids], dtype=object)
        return cls(text_embeddings(store, item_ids), distinct(of_items)[1])


@dataclass(frozen=True)
class Judged:
    """Slates of one setting, judged; means over seeds.

    Attributes:
        per_request: float64 [n] by metric.
        seeds_ndcg: smallest and largest NDCG@10 of a seed.
        coverage: share of the catalogue in any slate.
        diversity: mean over slates of 1 - cosine over all pairs of a slate's texts.
        categories: mean over slates of distinct categories over items.
        microseconds: of a slate, median of requests.
    """

    per_request: dict[str, np.ndarray]
    seeds_ndcg: tuple[float, float]
    coverage: float
    diversity: float
    categories: float
    microseconds: float

    def difference(self, baseline: "Judged", metric: str) -> Estimate:
        """How much the metric is above the baseline's, paired by household."""
        return bootstrap(self.per_request[metric] - baseline.per_request[metric])


def sessions_of_split(store: Store, split: Split, days: Days) -> Sessions:
    """The evaluation's requests with what was known of their users when its first day began."""
    requests = split.requests
    columns = user_columns(store, requests.user_id, days.first_day, days.evaluation_from)
    return Sessions(requests.user_id, requests.timestamp, requests.device, columns)


def scored_candidates(
    release: OfflineRelease, split: Split, sessions: Sessions, ranked: int
) -> Scored:
    """The release's candidates and scores, of which at most `ranked` a request.

    Raises:
        ValueError: the release has items that the catalogue lacks.
    """
    enough = min(release.depth.enough, ranked)
    depth = replace(release.depth, ranked=ranked, enough=enough)
    answers = replace(release, depth=depth).answer(sessions, _purchased(split), K)
    row = {item_id: n for n, item_id in enumerate(split.item_ids)}
    unknown = set(release.item_ids) - row.keys()
    if unknown:
        raise ValueError(
            f"{len(unknown)} items of the release are not in the table 'items', {min(unknown)!r} "
            "among them: judge a release rendered from this store"
        )
    users, moments = sessions.user_id.tolist(), sessions.timestamp.tolist()
    return Scored(
        [np.array([row[item] for item in found], dtype=np.int64) for found in answers.candidates],
        answers.scores,
        [f"{user}@{moment}" for user, moment in zip(users, moments, strict=True)],
        split.requests.relevant,
    )


def judge(scored: Scored, kinds: Kinds, setting: SlateSetting) -> Judged:
    """Arranges the slates of every request with each seed of the setting, and judges them."""
    arranged = [_arranged(scored, kinds.vectors, setting, seed) for seed in setting.seeds]
    relevant = np.diff(scored.relevant.indptr)
    metrics: dict[str, list[np.ndarray]] = {name: [] for name in METRICS}
    for slates, _ in arranged:
        hit = hits(slates, scored.relevant)
        for name, metric in METRICS.items():
            metrics[name].append(metric(hit, relevant, K))
    of_seeds = [float(values.mean()) for values in metrics["ndcg_at_10"]]
    items = len(kinds.categories)
    return Judged(
        {name: np.mean(values, axis=0) for name, values in metrics.items()},
        (min(of_seeds), max(of_seeds)),
        float(np.mean([coverage(slates, items, K) for slates, _ in arranged])),
        float(np.mean([_diversity(slates, kinds.vectors) for slates, _ in arranged])),
        float(np.mean([distinct_share(slates, kinds.categories) for slates, _ in arranged])),
        float(np.median([seconds for _, seconds in arranged])) * 1e6,
    )


def distinct_share(slates: np.ndarray, categories: np.ndarray) -> float:
    """Mean over slates of distinct categories over items.

    Args:
        slates: int [n, k], rows of `categories`, padded with -1; empty slates are left out.
        categories: [items].
    """
    shares = [
        len(np.unique(categories[slate])) / len(slate)
        for slate in (row[row != PADDING] for row in slates)
        if len(slate)
    ]
    return float(np.mean(shares))


def _diversity(slates: np.ndarray, vectors: np.ndarray) -> float:
    return float(np.nanmean(intra_list_diversity(slates, cosines(slates, vectors))))


def _arranged(
    scored: Scored, vectors: np.ndarray, setting: SlateSetting, seed: int
) -> tuple[np.ndarray, float]:
    """Slates int32 [n, K] of catalogue rows, padded with -1, and median seconds of one."""
    slates = np.full((len(scored.rows), K), PADDING, dtype=np.int32)
    seconds = np.zeros(len(slates))
    sampling = Sampling(setting.temperature, seed)
    for n, (rows, scores) in enumerate(zip(scored.rows, scored.scores, strict=True)):
        start = time.perf_counter()
        order = scores
        if sampling.temperature > 0:
            order = perturb(scores, sampling, zlib.crc32(scored.requests[n].encode()))
        shown = rows[_shown(order, rows, vectors, setting.diversity)]
        seconds[n] = time.perf_counter() - start
        slates[n, : len(shown)] = shown
    return slates, float(np.median(seconds))


def _shown(
    order: np.ndarray, rows: np.ndarray, vectors: np.ndarray, diversity: Diversity
) -> np.ndarray:
    return arrange(order, lambda places: vectors[rows[places]], min(K, len(rows)), diversity)


def _purchased(split: Split) -> dict[str, frozenset[str]]:
    """By user, what was bought before."""
    seen = split.requests.seen
    bought = np.split(split.item_ids[seen.indices], seen.indptr[1:-1])
    users = split.requests.user_id.tolist()
    return {user: frozenset(items) for user, items in zip(users, bought, strict=True)}
