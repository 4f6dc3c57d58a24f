"""Offline answers are those of the stages of a request, with the caller's context in them."""

import numpy as np
import pytest

from recsys_assets.pipeline.pipeline import Effort, Pipeline
from recsys_assets.pipeline.query import QueryStage
from recsys_assets.pipeline.requests import Requests
from recsys_assets.pipeline.retrieve import Depth, RetrieveStage
from recsys_assets.releases.offline import History, OfflineRelease, Sessions
from recsys_assets_tests.serving.made_up_stages import (
    AT,
    Index,
    PersonalRanker,
    Tower,
    answer,
    rank_stage,
)

ITEMS = 100
NAMES = np.array([f"item {n}" for n in range(ITEMS)], dtype=object)
DEPTH = Depth(candidates=20, enough=5, ranked=15)
USERS = ("ann", "bob", "", "ann")
PURCHASED = {"ann": {"item 0", "item 2"}, "bob": {f"item {n}" for n in range(90)}}
SPENT = {"ann": 12.5, "bob": 3.0, "": np.nan}


class Context:
    """The online store, holding what the sessions say."""

    def read(self, user_ids):
        return {"spend_7d": np.array([SPENT[user] for user in user_ids])}


def release(sampling=0.0):
    rank = rank_stage(ITEMS, sampling, PersonalRanker())
    return OfflineRelease(Tower(), Index(ITEMS), rank, NAMES, DEPTH)


def sessions(*users):
    return Sessions(
        user_id=np.array(users, dtype=object),
        timestamp=AT + np.arange(len(users)),
        device=np.array(["in_store"] * len(users), dtype=object),
        columns={"spend_7d": np.array([SPENT[user] for user in users])},
    )


def served(offline, k):
    """What the pipeline answers to the same requests, as the server runs it."""
    history = History(PURCHASED, NAMES)
    pipeline = Pipeline(
        QueryStage(Context(), offline.tower),
        RetrieveStage(offline.index, ITEMS, history),
        offline.rank,
        {Effort.FULL: offline.depth},
        NAMES,
    )
    count = len(USERS)
    devices, moments = ["in_store"] * count, sessions(*USERS).timestamp
    requests = Requests(list(USERS), devices, moments, np.full(count, k), [""] * count)
    return answer(pipeline, requests).rankings


@pytest.mark.parametrize("sampling", [0.0, 5.0])
@pytest.mark.parametrize("k", [1, 10, 60])
def test_slates_are_those_that_the_stages_serve(sampling, k):
    offline = release(sampling)
    answers = offline.answer(sessions(*USERS), PURCHASED, k)
    expected = [NAMES[one.rows[one.shown]].tolist() for one in served(offline, k)]
    assert [slate.tolist() for slate in answers.slates] == expected


def test_candidates_are_those_retrieved_best_score_first():
    offline = release(sampling=5.0)
    answers = offline.answer(sessions(*USERS), PURCHASED)
    rankings = served(offline, k=10)

    for candidates, scores, ranking in zip(
        answers.candidates, answers.scores, rankings, strict=True
    ):
        assert set(candidates) == set(NAMES[ranking.rows])
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


def test_requests_of_more_than_one_batch_are_all_answered_in_order():
    users = ["ann", "bob", ""] * 30
    answers = release().answer(sessions(*users), PURCHASED)
    moment = sessions(*users).take(np.array([88]))
    alone = release().answer(moment, PURCHASED)

    assert len(answers.slates) == 90
    assert answers.slates[88].tolist() == alone.slates[0].tolist()


def test_who_has_bought_everything_is_shown_nothing():
    everything = {"ann": {f"item {n}" for n in range(ITEMS)}}
    answers = release().answer(sessions("ann"), everything)

    assert [len(one[0]) for one in (answers.candidates, answers.scores, answers.slates)] == [0] * 3


def test_no_requests_are_no_answers():
    assert release().answer(sessions(), {}).slates == []
