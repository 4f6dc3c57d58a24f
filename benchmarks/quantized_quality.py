"""Quality of a release before and after quantization, on the requests of the evaluation.

The households of `evaluation/split.py` ask the release as it is served: the whole catalogue is
searched, what they had bought is left out, 100 candidates are ranked. NDCG and recall are of the
ranker's order, NDCG also of the slate as shown, after diversity. On live data the release knows the
days that it is asked about (`settings/days.py`): there the figures compare, and do not praise.

AUC is of the ranker alone: for each household, what it bought for the first time in the evaluated
days against items drawn as its training drew negatives, the same for every precision.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recsys_assets.releases.offline import OfflineRelease, Sessions

if TYPE_CHECKING:
    from scipy import sparse

    from recsys_assets.settings.days import Days
    from recsys_assets.storage import Store

METRICS = ("ndcg_at_10", "recall_at_10", "ndcg_at_10_shown", "auc")
NEGATIVES = 100
_PLACES = 10
_BATCH = 32

Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Questions:
    """n requests, what their users had bought before, and what they then bought first.

    `wanted` is CSR [n, items] over `catalogue`, object [items].
    """

    sessions: Sessions
    purchased: dict[str, frozenset[str]]
    wanted: "sparse.csr_matrix"
    catalogue: np.ndarray


@dataclass(frozen=True)
class Graded:
    """Of each request, item rows int64 [m_i] of the release, and which were bought, bool [m_i]."""

    rows: list[np.ndarray]
    bought: list[np.ndarray]


def load_questions(store: "Store", days: "Days") -> Questions:
    """The evaluation's requests, with user features as known when its first day began.

    Raises:
        MissingPartition: a day of history or of the evaluated days is missing.
    """
    from recsys_assets.evaluation.split import load_split, user_columns

    split = load_split(store, days)
    asked = split.requests
    columns = user_columns(store, asked.user_id, days.first_day, days.evaluation_from)
    del columns["user_id"]
    seen = {
        user: frozenset(split.item_ids[row.indices])
        for user, row in zip(asked.user_id, asked.seen, strict=True)
    }
    sessions = Sessions(asked.user_id, asked.timestamp, asked.device, columns)
    return Questions(sessions, seen, asked.relevant, split.item_ids)


def draw_graded(version: Path, item_ids: Sequence[str], questions: Questions) -> Graded:
    """Purchases and negatives of every request, the same for the same release.

    Args:
        version: version folder of the pipeline.
        item_ids: of the release, by row.
        questions: what was bought, before and then.
    """
    from recsys_assets.models.negatives import Scoring
    from recsys_assets.pipeline.rank import ITEMS, read_columns

    popularity = read_columns(version / ITEMS)["popularity_28d"]
    chance = np.exp(Scoring.load(version / "dlrm").negatives.log_probability(popularity))
    row_of = {item: row for row, item in enumerate(item_ids)}
    random = np.random.default_rng(0)
    graded = Graded([], [])
    for user, wanted in zip(questions.sessions.user_id, questions.wanted, strict=True):
        bought = [row_of[item] for item in questions.catalogue[wanted.indices]]
        known = {row_of[item] for item in questions.purchased[user]}.union(bought)
        drawn = np.unique(random.choice(len(chance), NEGATIVES, p=chance / chance.sum()))
        others = [row for row in drawn.tolist() if row not in known]
        graded.rows.append(np.array(bought + others, dtype=np.int64))
        graded.bought.append(np.arange(len(bought) + len(others)) < len(bought))
    return graded


def measure(
    release: OfflineRelease, questions: Questions, graded: Graded
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Asks a release every question.

    Returns:
        `METRICS` as float64 [n] each, and the slates as shown, int32 [n, 10] of catalogue rows.
    """
    from recsys_assets import metrics

    answers = release.answer(questions.sessions, questions.purchased, _PLACES)
    position = {item: row for row, item in enumerate(questions.catalogue)}
    ranked, shown = (_slates(of, position) for of in (answers.candidates, answers.slates))
    counts = np.diff(questions.wanted.indptr)
    hit = metrics.hits(ranked, questions.wanted)
    values = {
        "ndcg_at_10": metrics.ndcg(hit, counts, _PLACES),
        "recall_at_10": metrics.recall(hit, counts, _PLACES),
        "ndcg_at_10_shown": metrics.ndcg(metrics.hits(shown, questions.wanted), counts, _PLACES),
        "auc": _auc(release, questions.sessions, graded),
    }
    return values, shown


def compare(values: Values, baseline: Values) -> dict[str, dict[str, float | list[float]]]:
    """Means and paired differences by metric, with 95 % bootstrap intervals over households.

    `loss_percent` is the relative loss against the baseline, negative where it is a gain.
    """
    from recsys_assets.metrics import bootstrap

    compared: dict[str, dict[str, float | list[float]]] = {}
    for metric in METRICS:
        difference = bootstrap(values[metric] - baseline[metric])
        before = float(baseline[metric].mean())
        compared[metric] = {
            "mean": float(values[metric].mean()),
            "difference": difference.mean,
            "interval": [difference.low, difference.high],
            "loss_percent": _loss(difference.mean, before),
            "loss_percent_interval": [
                _loss(difference.high, before),
                _loss(difference.low, before),
            ],
        }
    return compared


def _loss(difference: float, before: float) -> float:
    return 0.0 - 100 * difference / before


def overlap(slates: np.ndarray, baseline: np.ndarray) -> float:
    """Mean share of the baseline's slates that is also in these, whatever the order."""
    return float(
        np.mean([np.isin(old, new).mean() for old, new in zip(baseline, slates, strict=True)])
    )


def _slates(items: Sequence[np.ndarray], position: Mapping[str, int]) -> np.ndarray:
    from recsys_assets.slates import PADDING

    slates = np.full((len(items), _PLACES), PADDING, dtype=np.int32)
    for row, found in enumerate(items):
        best = [position[item] for item in found[:_PLACES]]
        slates[row, : len(best)] = best
    return slates


def _auc(release: OfflineRelease, sessions: Sessions, graded: Graded) -> np.ndarray:
    from recsys_assets.metrics import auc

    return np.array(
        [
            auc(bought, scores)
            for bought, scores in zip(
                graded.bought, _scores(release, sessions, graded.rows), strict=True
            )
        ]
    )


def _scores(
    release: OfflineRelease, sessions: Sessions, rows: Sequence[np.ndarray]
) -> Iterator[np.ndarray]:
    for start in range(0, len(sessions), _BATCH):
        batch = sessions.take(np.arange(start, min(start + _BATCH, len(sessions))))
        yield from release.rank.ranker.score_batch(
            batch.query_columns(), batch.timestamp, rows[start : start + len(batch)], None
        )
