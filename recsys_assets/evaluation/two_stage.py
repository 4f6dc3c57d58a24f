"""The pipeline's own parts, asked the evaluation's requests.

What runs here is what is served: the exported query tower, the stored index, the exported ranker.
Their interfaces are spelled out below, so that this module says what it needs and no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from recsys_assets.evaluation.slates import DEPTH, PADDING, Scorer, require_ranked
from recsys_assets.evaluation.split import Split
from recsys_assets.pace import Progress, silent, told
from recsys_assets.retrieval.candidates import CANDIDATES, DEEPER, ENOUGH, RANKED

Columns = Mapping[str, np.ndarray]


class CandidateIndex(Protocol):
    """`retrieval.index.ItemIndex`."""

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """float32 [n, d] to int64 rows [n, k], best first, and float32 scores [n, k]."""


class CandidateRanker(Protocol):
    """`ranking.ranker.Ranker`."""

    def score(self, user_columns: Columns, timestamp: int, rows: np.ndarray) -> np.ndarray:
        """Columns of one user, epoch seconds and int64 item rows [m] to float32 [m]."""


@dataclass(frozen=True)
class Queries:
    """The requests as the query tower sees them: `embeddings` float32 [n, d] and `columns`."""

    embeddings: np.ndarray
    columns: Columns
    timestamps: np.ndarray


def catalogue_rows(item_ids: list[str], split: Split, part: str) -> np.ndarray:
    """For every item of a part, its row in the catalogue: int64 [items].

    Args:
        item_ids: the items of the part, in its order.
        split: knows the catalogue.
        part: name of the asset, for the error.

    Raises:
        ValueError: part and catalogue hold different items, so that methods would rank
            different sets.
    """
    position = {item_id: row for row, item_id in enumerate(split.item_ids)}
    if position.keys() != set(item_ids) or len(position) != len(item_ids):
        difference = len(position.keys() ^ set(item_ids))
        raise ValueError(
            f"{part} has {len(item_ids)} items, {difference} of them or of the {len(position)} in "
            f"the table 'items' only in one: materialize {part} again, after items"
        )
    return np.array([position[item_id] for item_id in item_ids], dtype=np.int64)


def retrieval_scorer(
    queries: Queries, item_embeddings: np.ndarray, item_rows: np.ndarray
) -> Scorer:
    """The two-tower model alone: inner products with every item, exact.

    Args:
        queries: embedded requests.
        item_embeddings: float32 [items, d].
        item_rows: catalogue row of each, from `catalogue_rows`.
    """
    order = np.argsort(item_rows)
    by_catalogue = np.ascontiguousarray(item_embeddings[order].T)
    return lambda start, stop: queries.embeddings[start:stop] @ by_catalogue


def two_stage_slates(
    queries: Queries,
    index: CandidateIndex,
    ranker: CandidateRanker,
    item_rows: np.ndarray,
    split: Split,
    candidates: int = CANDIDATES,
    enough: int = ENOUGH,
    ranked: int = RANKED,
    progress: Progress = silent,
) -> np.ndarray:
    """Retrieve, take out what was seen, rank: int32 [requests, 300] of catalogue rows, best first.

    Behind those that are ranked come the others, as retrieved.

    As in serving, seen items are taken out after the search, so a household that has bought many
    of its candidates gets a shorter slate, padded with -1; should fewer than `enough` be left,
    the search goes deeper for it.

    Args:
        queries: embedded requests.
        index: searched for the candidates.
        ranker: orders them.
        item_rows: catalogue row of each index row.
        split: says what each household has seen.
        candidates: how many the index is asked for.
        enough: how many a household must be left with.
        ranked: the most that are ranked.
        progress: counts ranked requests.
    """
    slates = np.full((len(split.requests), DEPTH), PADDING, dtype=np.int32)
    found = _unseen_candidates(queries.embeddings, index, item_rows, split, candidates, enough)
    # In the order of time: the ranker prepares the items' ages once for each day.
    for request in told(np.argsort(queries.timestamps, kind="stable").tolist(), progress):
        rows = found[request]
        if not len(rows):
            continue
        user = {name: column[request : request + 1] for name, column in queries.columns.items()}
        first, rest = rows[:ranked], rows[ranked:]
        scores = ranker.score(user, int(queries.timestamps[request]), first)
        require_ranked(scores[None], request)
        best = np.concatenate([first[np.argsort(-scores, kind="stable")], rest])[:DEPTH]
        slates[request, : len(best)] = item_rows[best]
    return slates


def _unseen_candidates(
    embeddings: np.ndarray,
    index: CandidateIndex,
    item_rows: np.ndarray,
    split: Split,
    candidates: int,
    enough: int,
) -> list[np.ndarray]:
    """Index rows of each request, at most `candidates`, best first, without seen items."""
    seen = split.requests.seen
    found: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(embeddings)
    searching, depth = np.arange(len(embeddings)), min(candidates, len(item_rows))
    while len(searching):
        rows, _ = index.search(embeddings[searching], depth)
        for request, of_request in zip(searching, rows, strict=True):
            known = of_request[of_request >= 0]
            bought = seen.indices[seen.indptr[request] : seen.indptr[request + 1]]
            found[request] = known[~np.isin(item_rows[known], bought)][:candidates]
        if depth == len(item_rows):
            break
        searching = searching[[len(found[request]) < enough for request in searching]]
        depth = min(depth * DEEPER, len(item_rows))
    return found
