from dataclasses import replace

import numpy as np
import pytest

from recsys_assets.candidates.ranked_lists import RankedLists
from recsys_assets.evaluation.models import catalogue_rows, retrieval_scorer, two_stage_slates
from recsys_assets.pipeline.query import Queries
from recsys_assets.pipeline.retrieve import Depth
from recsys_assets.slates import rank, slate_faults
from recsys_assets_tests.evaluation.tiny import random_split

DIMENSIONS = 4

NOBODYS = RankedLists.none()
UNSOLD = np.full(100, np.nan)


class ExactIndex:
    """Answers with -1 where `missing` results were not found, as an approximate index may."""

    def __init__(self, embeddings, missing=0):
        self.embeddings = embeddings
        self.missing = missing

    def search(self, queries, k, budget="normal"):
        scores = queries @ self.embeddings.T
        rows = np.argsort(-scores, axis=1)[:, :k]
        rows[:, k - self.missing :] = -1
        return rows, np.take_along_axis(scores, rows, axis=1)


class CheapestFirst:
    """Ranks by a price per row, and remembers what it was asked."""

    def __init__(self, prices):
        self.prices = prices
        self.asked = []

    def score(self, user_columns, timestamp, rows):
        self.asked.append((user_columns["user_id"].tolist(), timestamp, rows.tolist()))
        return -self.prices[rows]


@pytest.fixture
def case():
    split = random_split(3)
    rng = np.random.default_rng(0)
    indexed = rng.permutation(split.item_ids).tolist()
    embeddings = rng.normal(size=(len(indexed), DIMENSIONS)).astype(np.float32)
    count = len(split.requests)
    queries = Queries(
        {"user_id": split.requests.user_id},
        rng.normal(size=(count, DIMENSIONS)).astype(np.float32),
        np.zeros(count, dtype=bool),
    )
    split = replace(split, requests=replace(split.requests, timestamp=np.arange(count)))
    return split, indexed, embeddings, queries


def test_retrieval_scores_follow_the_catalogue(case):
    split, indexed, embeddings, queries = case
    rows = catalogue_rows(indexed, split, "item_index")

    scores = retrieval_scorer(queries, embeddings, rows)(2, 5)

    for place, item_id in enumerate(indexed):
        column = split.item_ids.tolist().index(item_id)
        expected = queries.embeddings[2:5] @ embeddings[place]
        np.testing.assert_allclose(scores[:, column], expected, rtol=1e-5)


def test_candidates_ranked_ahead_are_shown_before_any_that_is_searched(case):
    split, indexed, embeddings, queries = case
    rows = catalogue_rows(indexed, split, "item_index")
    user, seen = split.requests.user_id[0], split.requests.seen[0].indices
    listed = [row for row in range(len(indexed)) if rows[row] not in seen][:4]
    lists = RankedLists.of_users(
        [user], np.array([0, 4]), np.array(listed), np.array([4.0, 3.0, 2.0, 1.0])
    )
    nothing_to_add = CheapestFirst(np.zeros(len(indexed), dtype=np.float32))

    slates = two_stage_slates(
        queries,
        ExactIndex(embeddings),
        nothing_to_add,
        rows,
        split,
        lists,
        UNSOLD,
        Depth(12, 1, 12),
    )

    assert slates[0, :5].tolist() == [*rows[listed], -1]
    assert (slates[1:, 4] >= 0).all()


def test_a_bestseller_of_candidates_ranked_ahead_must_be_better_by_more_than_its_discount(case):
    split, indexed, embeddings, queries = case
    rows = catalogue_rows(indexed, split, "item_index")
    user, seen = split.requests.user_id[0], split.requests.seen[0].indices
    first, second = [row for row in range(len(indexed)) if rows[row] not in seen][:2]
    nothing_to_add = CheapestFirst(np.zeros(len(indexed), dtype=np.float32))
    sold = UNSOLD.copy()
    sold[first] = 1000

    for lead, shown in ((0.5, [second, first]), (1.0, [first, second])):
        lists = RankedLists.of_users(
            [user], np.array([0, 2]), np.array([first, second]), np.array([lead, 0.0])
        )
        slates = two_stage_slates(
            queries, ExactIndex(embeddings), nothing_to_add, rows, split, lists, sold
        )
        assert slates[0, :2].tolist() == rows[shown].tolist()


@pytest.mark.parametrize("enough", [1, 8])
def test_the_ranker_orders_what_retrieval_found(case, enough):
    split, indexed, embeddings, queries = case
    prices = np.random.default_rng(1).permutation(len(indexed)).astype(np.float32)
    rows, ranker = catalogue_rows(indexed, split, "item_index"), CheapestFirst(prices)

    slates = two_stage_slates(
        queries, ExactIndex(embeddings), ranker, rows, split, NOBODYS, UNSOLD, Depth(12, enough, 12)
    )

    assert not any(slate_faults(slates, split.requests.seen).values())
    seen = split.requests.seen.toarray()
    deeper = 0
    for request in range(len(split.requests)):
        found = np.argsort(-(embeddings @ queries.embeddings[request]))
        fresh = [row for row in found[:12] if not seen[request, rows[row]]]
        if len(fresh) < enough:
            fresh = [row for row in found if not seen[request, rows[row]]][:12]
            deeper += 1
        expected = rows[sorted(fresh, key=lambda row: prices[row])].tolist()
        assert slates[request, : len(fresh)].tolist() == expected
        assert (slates[request, len(fresh) :] == -1).all()
    assert (deeper > 0) == (enough > 1)


def test_a_household_is_scored_with_its_own_columns_at_its_own_time(case):
    split, indexed, embeddings, queries = case
    ranker = CheapestFirst(np.zeros(len(indexed), dtype=np.float32))

    two_stage_slates(
        queries,
        ExactIndex(embeddings),
        ranker,
        catalogue_rows(indexed, split, "item_index"),
        split,
        NOBODYS,
        UNSOLD,
        Depth(20, 1, 20),
    )

    assert [(users, time) for users, time, _ in ranker.asked] == [
        ([user], time) for time, user in enumerate(split.requests.user_id)
    ]


def test_results_that_the_index_did_not_find_are_left_out(case):
    split, indexed, embeddings, queries = case
    ranker = CheapestFirst(np.zeros(len(indexed), dtype=np.float32))
    rows, nothing = catalogue_rows(indexed, split, "item_index"), ExactIndex(embeddings, missing=20)

    slates = two_stage_slates(
        queries, nothing, ranker, rows, split, NOBODYS, UNSOLD, Depth(20, 1, 20)
    )

    assert ranker.asked == []
    assert (slates == -1).all()


def test_retrieval_alone_keeps_the_protocol(case):
    split, indexed, embeddings, queries = case
    scorer = retrieval_scorer(queries, embeddings, catalogue_rows(indexed, split, "item_index"))

    slates = rank(scorer, split.requests.seen, split.purchases, k=10)

    assert not any(slate_faults(slates, split.requests.seen).values())


@pytest.mark.parametrize("change", [lambda ids: ids[1:], lambda ids: ["ghost", *ids[1:]]])
def test_an_index_over_other_items_is_refused(case, change):
    split, indexed, *_ = case

    with pytest.raises(ValueError, match="materialize item_index again"):
        catalogue_rows(change(indexed), split, "item_index")


def test_a_score_of_the_ranker_that_is_no_number_is_refused(case):
    split, indexed, embeddings, queries = case
    rows = catalogue_rows(indexed, split, "item_index")
    ranker = CheapestFirst(np.full(len(indexed), np.nan))

    with pytest.raises(ValueError, match="has the score nan"):
        two_stage_slates(queries, ExactIndex(embeddings), ranker, rows, split, NOBODYS, UNSOLD)
