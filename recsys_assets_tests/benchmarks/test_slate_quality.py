from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.slate_quality import (
    K,
    Kinds,
    Scored,
    SlateSetting,
    distinct_share,
    judge,
    scored_candidates,
)
from recsys_assets.metrics import hits, ndcg
from recsys_assets.pipeline.diversity import Diversity, Sampling, arrange
from recsys_assets.pipeline.rank import RankStage
from recsys_assets.pipeline.retrieve import Depth
from recsys_assets.releases.offline import OfflineRelease, Sessions
from recsys_assets_tests.evaluation.tiny import matrix, random_split

UNCHANGED = Diversity(trade_off=1.0, pool=50)
ITEMS = 60


def kinds(items=ITEMS):
    vectors = np.random.default_rng(0).normal(size=(items, 4)).astype(np.float32)
    return Kinds(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.arange(items) % 5)


def scored(requests=8):
    rng = np.random.default_rng(1)
    rows = [rng.permutation(ITEMS)[:40] for _ in range(requests)]
    relevant = np.zeros((requests, ITEMS), dtype=int)
    relevant[np.arange(requests), [found[3] for found in rows]] = 1
    scores = [np.sort(rng.normal(size=40))[::-1].astype(np.float32) for _ in rows]
    return Scored(rows, scores, [f"user {n}@7" for n in range(requests)], matrix(relevant))


def test_categories_are_counted_once_a_slate():
    slates = np.array([[0, 5, 10, 1], [2, -1, -1, -1], [-1, -1, -1, -1]])
    assert distinct_share(slates, kinds().categories) == np.mean([2 / 4, 1])


def test_without_re_ranking_the_best_are_shown_in_order():
    candidates = scored()
    judged = judge(candidates, kinds(), SlateSetting("none", UNCHANGED))
    best = np.array([rows[:K] for rows in candidates.rows])
    expected = ndcg(hits(best, candidates.relevant), np.ones(8, dtype=int), K)
    assert judged.per_request["ndcg_at_10"].tolist() == expected.tolist()
    assert (judged.per_request["recall_at_10"] == 1).all()
    assert judged.coverage == len(np.unique(best)) / ITEMS
    assert judged.difference(judged, "ndcg_at_10").mean == 0


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_re_ranking_makes_slates_more_diverse(method):
    candidates, of_items = scored(), kinds()
    plain = judge(candidates, of_items, SlateSetting("none", UNCHANGED))
    setting = SlateSetting(method, Diversity(0.3, 40, method))
    assert judge(candidates, of_items, setting).diversity > plain.diversity


def test_of_several_seeds_the_mean_counts():
    candidates, of_items = scored(), kinds()
    alone = [
        judge(candidates, of_items, SlateSetting("one", UNCHANGED, 1.0, (seed,)))
        for seed in (0, 1, 2)
    ]
    together = judge(candidates, of_items, SlateSetting("all", UNCHANGED, 1.0, (0, 1, 2)))
    figures = [one.per_request["ndcg_at_10"] for one in alone]
    assert together.per_request["ndcg_at_10"] == pytest.approx(np.mean(figures, axis=0))
    assert together.seeds_ndcg == (np.min(np.mean(figures, 1)), np.max(np.mean(figures, 1)))
    assert together.coverage == pytest.approx(np.mean([one.coverage for one in alone]))


def test_fewer_candidates_than_places_are_a_shorter_slate():
    few = Scored([np.array([4, 9])], [np.array([2.0, 1.0])], ["ann@7"], matrix([[0, 1] * 30]))
    judged = judge(few, kinds(), SlateSetting("mmr", Diversity(0.5, 50)))
    assert judged.coverage == 2 / ITEMS


class _Stages:
    """Tower, index and ranker in one: items by falling row, scored by rising row."""

    def embed(self, columns, timestamps):
        return np.zeros((len(timestamps), 2), dtype=np.float32)

    def search(self, queries, k, budget="normal"):
        rows = np.arange(20)[::-1][:k]
        return np.tile(rows, (len(queries), 1)), np.zeros((len(queries), k), dtype=np.float32)

    def score_batch(self, user_columns, timestamps, rows, embeddings):
        return [-found.astype(np.float32) for found in rows]


def release(item_ids):
    stages = _Stages()
    vectors = kinds(20).vectors
    rank = RankStage(stages, vectors, np.ones(20), UNCHANGED, Sampling(0.0, 0))
    return OfflineRelease(stages, stages, rank, item_ids, Depth(20, 5, 10))


def sessions_of(split):
    requests = split.requests
    return Sessions(requests.user_id, requests.timestamp, requests.device, {})


@pytest.mark.parametrize("ranked", [3, 10, 20])
def test_of_what_is_retrieved_the_first_unseen_are_ranked(ranked):
    split = random_split(seed=3)
    offline = release(split.item_ids[::-1])  # row 0 of the release is the last of the catalogue
    found = scored_candidates(offline, split, sessions_of(split), ranked)
    for n, rows in enumerate(found.rows):
        unseen = np.flatnonzero(split.requests.seen[n].toarray()[0] == 0)
        # No fewer than a slate are ranked; retrieved first is the catalogue's first row.
        assert sorted(rows) == unseen[: max(ranked, K)].tolist()
        assert (np.diff(found.scores[n]) <= 0).all()


def test_slates_are_those_that_the_release_shows():
    split = random_split(seed=3)
    offline = release(split.item_ids)
    sessions = sessions_of(split)
    found = scored_candidates(offline, split, sessions, ranked=10)
    seen = split.requests.seen.toarray().astype(bool)
    users = split.requests.user_id
    bought = {user: set(split.item_ids[row]) for user, row in zip(users, seen, strict=True)}
    for n, slate in enumerate(offline.answer(sessions, bought).slates):
        shown = arrange(found.scores[n], np.empty((0, 4)), len(slate), UNCHANGED)
        assert split.item_ids[found.rows[n][shown]].tolist() == slate.tolist()


def test_a_release_of_other_items_is_refused():
    split = random_split(seed=3)
    strange = np.array([f"z{n}" for n in range(20)], dtype=object)
    with pytest.raises(ValueError, match="not in the table 'items'"):
        scored_candidates(release(strange), split, sessions_of(split), ranked=10)


def test_kinds_are_in_the_order_asked_for():
    import pyarrow as pa

    tables = {
        "items": pa.table({"item_id": ["a", "b", "c"], "category_l2": ["tea", None, "tea"]}),
        "item_text_embeddings": pa.table(
            {
                "item_id": ["a", "b", "c"],
                "embedding": pa.array([[1.0, 0], [0, 1], [0.6, 0.8]], pa.list_(pa.float32(), 2)),
            }
        ),
    }
    store = SimpleNamespace(
        table=lambda name: SimpleNamespace(
            read=lambda columns=None: tables[name].select(columns or tables[name].column_names)
        )
    )
    found = Kinds.load(store, np.array(["c", "b", "a"], dtype=object))
    assert found.vectors[:, 0] == pytest.approx([0.6, 0, 1])
    assert found.categories[0] == found.categories[2] != found.categories[1]
