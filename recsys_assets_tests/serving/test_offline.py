"""Offline answers are those of the stages of a request, with the caller's context in them."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_assets.serving.offline import History, OfflineRelease, Sessions
from recsys_assets.serving.pipeline import NO_ROW, QueryStage
from recsys_assets_tests.serving.test_pipeline import (
    AT,
    Tower,
    query_inputs,
    rank_stage,
    retrieve_stage,
)

ITEMS = 100
USERS = ("ann", "bob", "", "ann")
PURCHASED = {"ann": {"0", "2"}, "bob": {str(n) for n in range(90)}}
SPENT = {"ann": 12.5, "bob": 3.0, "": np.nan}


class Context:
    """The online store, holding what the sessions say."""

    def read(self, user_ids):
        return {"spend_7d": np.array([SPENT[user] for user in user_ids])}


class PersonalRanker:
    """Every user, moment and item has a score of its own, in no order of the items."""

    def score(self, user_columns, timestamp, rows):
        spent = np.nan_to_num(user_columns["spend_7d"][0], nan=1.0)
        return np.sin(rows * 1.7 + spent + timestamp % 11).astype(np.float32)


def release(sampling=0.0):
    rank = replace(rank_stage(ITEMS, sampling), ranker=PersonalRanker())
    return OfflineRelease(Tower(), retrieve_stage(ITEMS), rank)


def sessions(*users):
    return Sessions(
        user_id=np.array(users, dtype=object),
        timestamp=AT + np.arange(len(users)),
        device=np.array(["in_store"] * len(users), dtype=object),
        columns={"spend_7d": np.array([SPENT[user] for user in users])},
    )


def served(offline, k):
    """What the stages answer to the same requests, as the server runs them."""
    asked = query_inputs(*USERS, k=k)
    asked["timestamp"] = sessions(*USERS).timestamp[:, None]
    tensors = asked | QueryStage(Context(), offline.tower).run(asked)
    tensors |= replace(offline.retrieve, seen_items=History(PURCHASED)).run(tensors)
    return tensors, offline.rank.run(tensors)


@pytest.mark.parametrize("sampling", [0.0, 5.0])
@pytest.mark.parametrize("k", [1, 10, 60])
def test_slates_are_those_that_the_stages_serve(sampling, k):
    offline = release(sampling)
    answers = offline.answer(sessions(*USERS), PURCHASED, k)
    _, expected = served(offline, k)

    shown = [[item for item in row if item] for row in expected["item_id"].tolist()]
    assert [slate.tolist() for slate in answers.slates] == shown


def test_candidates_are_those_retrieved_best_score_first():
    offline = release(sampling=5.0)
    answers = offline.answer(sessions(*USERS), PURCHASED)
    tensors, _ = served(offline, k=10)

    found = zip(answers.candidates, answers.scores, tensors["row"], strict=True)
    for candidates, scores, rows in found:
        assert set(candidates) == {f"item {row}" for row in rows[rows != NO_ROW]}
        assert scores.dtype == np.float32
        assert (np.diff(scores) <= 0).all()


def test_purchased_items_are_no_candidates():
    ann, bob, nobody, _ = release().answer(sessions(*USERS), PURCHASED).candidates

    assert not {"item 0", "item 2"} & set(ann)
    assert set(bob) == {f"item {n}" for n in range(90, ITEMS)}
    assert "item 0" in nobody


def test_an_answer_depends_on_nobody_elses():
    together = release(5.0).answer(sessions(*USERS), PURCHASED)
    alone = release(5.0).answer(sessions(*USERS).take(np.array([1])), PURCHASED)

    assert together.slates[1].tolist() == alone.slates[0].tolist()


def test_who_has_bought_everything_is_shown_nothing():
    everything = {"ann": {str(n) for n in range(ITEMS)}}
    answers = release().answer(sessions("ann"), everything)

    assert [len(one[0]) for one in (answers.candidates, answers.scores, answers.slates)] == [0] * 3


def test_no_requests_are_no_answers():
    assert release().answer(sessions(), {}).slates == []
