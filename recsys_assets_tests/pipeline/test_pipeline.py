"""A batch from beginning to end: everybody gets what he would have got alone."""

import json
import time
from dataclasses import asdict, replace

import numpy as np
import pytest

from recsys_assets.pipeline.available_items import AvailableItems
from recsys_assets.pipeline.pipeline import NEVER, Effort, read_depths
from recsys_assets.pipeline.requests import Requests
from recsys_assets.pipeline.seen_settings import WhenDown
from recsys_assets.releases.serving_config import ServingConfig
from recsys_assets_tests.serving.made_up_stages import (
    DEPTH,
    LESS,
    Features,
    PersonalRanker,
    answer,
    asked,
    pipeline,
    shown_rows,
)

USERS = ("ann", "bob", "", "charles", "ann")
MIXED = [
    Effort.POPULAR,
    Effort.FULL,
    Effort.FEWER_CANDIDATES,
    Effort.FULL,
    Effort.FEWER_CANDIDATES,
]


def with_own_ks(requests, *ks):
    return replace(requests, ks=np.array(ks))


def slates_of(slates):
    return [shown_rows(ranking) for ranking in slates.rankings]


class TestBatch:
    @pytest.mark.parametrize("bought", [(), (3, 5, 7), tuple(range(90))])
    def test_answers_are_those_of_single_requests(self, bought):
        requests = with_own_ks(asked(*USERS), 10, 1, 60, 5, 3)
        of = pipeline(ranker=PersonalRanker(), bought=bought)
        together = answer(of, requests)
        alone = [answer(of, requests.take(np.array([n]))) for n in range(len(requests))]
        assert slates_of(together) == [slates_of(one)[0] for one in alone]
        assert str(together.columns) == str([one.columns[0] for one in alone])
        assert together.checked == sum(one.checked for one in alone)
        assert together.excluded == sum(one.excluded for one in alone)

    def test_each_stage_runs_once(self):
        features = Features()
        of = pipeline(features=features)
        slates = answer(of, asked(*USERS))
        assert features.round_trips == of.retrieve.seen_items.round_trips == 1
        assert of.query.tower.batches == [5]
        assert of.retrieve.index.depths == [20]
        assert set(slates.seconds) == {"query", "retrieve", "rank"}
        assert min(slates.seconds.values()) > 0

    def test_more_than_are_ranked_can_be_asked_for(self):
        slates = answer(pipeline(), asked("ann", k=60))
        assert len(slates_of(slates)[0]) == 60

    def test_columns_are_those_that_the_models_saw(self):
        (columns,) = answer(pipeline(), asked("ann")).columns
        expected = {"age": "30-39", "spend_7d": 12.5, "user_id": "ann", "device": "in_store"}
        assert columns == expected
        json.dumps(columns)

    def test_an_outage_degrades_known_users_only(self):
        slates = answer(pipeline(features=Features(down=True)), asked("ann", ""))
        assert slates.degraded.tolist() == [True, False]
        assert [len(slate) for slate in slates_of(slates)] == [10, 10]

    def test_who_may_not_be_shown_unchecked_items_is_not_ranked(self):
        of = pipeline(down=True)
        of.retrieve.when_down = WhenDown.REFUSE
        slates = answer(of, asked("ann", ""))
        assert slates.refused.tolist() == [True, False]
        assert slates.rankings[0] is None
        assert len(shown_rows(slates.rankings[1])) == 10


class TestEfforts:
    def test_of_a_mixed_batch_keep_their_order(self):
        requests = asked(*USERS, k=3)
        of = pipeline(ranker=PersonalRanker())
        mixed = answer(of, requests, MIXED)
        alone = [
            answer(of, requests.take(np.array([n])), [effort]) for n, effort in enumerate(MIXED)
        ]
        assert slates_of(mixed) == [slates_of(one)[0] for one in alone]
        assert [columns["user_id"] for columns in mixed.columns] == list(USERS)
        assert mixed.degraded.tolist() == [True, False, True, False, True]

    def test_fewer_candidates_are_searched_and_ranked_less(self):
        of = pipeline()
        slates = answer(of, asked("ann", k=2), [Effort.FEWER_CANDIDATES])
        assert (of.retrieve.index.depths, of.retrieve.index.budgets) == ([8], ["low"])
        assert len(slates.rankings[0].rows) == LESS.ranked
        assert slates.degraded.all()

    def test_popular_slates_need_no_store_and_no_model(self):
        features = Features(down=True)
        of = pipeline(features=features, down=True)
        slates = answer(of, asked("ann", "", k=4), [Effort.POPULAR] * 2)
        assert slates_of(slates) == [[99, 98, 97, 96]] * 2
        assert slates.degraded.all()
        assert features.round_trips == of.retrieve.seen_items.round_trips == 0
        assert of.query.tower.batches == of.retrieve.index.depths == []
        assert slates.columns[0]["user_id"] == "ann"

    def test_no_slate_shows_what_is_off_sale_however_little_is_done(self):
        of = pipeline()
        requests, efforts = asked("ann", "bob", "", k=2), list(Effort)
        shown = {row for slate in slates_of(answer(of, requests, efforts)) for row in slate}
        of.retrieve.availability = AvailableItems(of.item_ids)
        of.retrieve.availability.replace(f"item {row}" for row in shown)
        slates = slates_of(answer(of, requests, efforts))
        assert [len(slate) for slate in slates] == [2, 2, 2]
        assert not shown & {row for slate in slates for row in slate}

    def test_of_a_release_are_read_back(self, tmp_path):
        config = ServingConfig(depth=DEPTH, less=LESS)
        (tmp_path / "stage.json").write_text(json.dumps(config.as_json()))
        depths = read_depths(tmp_path)
        assert depths == {Effort.FULL: DEPTH, Effort.FEWER_CANDIDATES: LESS}
        assert asdict(depths[Effort.FEWER_CANDIDATES])["budget"] == "low"


class TestSearchBudget:
    def test_everybody_gets_the_one_asked_for(self):
        of = pipeline()
        parts = [asked("ann", budget="high"), asked("bob"), asked("charles", budget="high")]
        slates = answer(of, Requests.together(parts))
        assert sorted(of.retrieve.index.budgets) == ["high", "normal"]
        assert of.query.tower.batches == [2, 1]
        assert [columns["user_id"] for columns in slates.columns] == ["ann", "bob", "charles"]

    def test_less_than_full_effort_ignores_it(self):
        of = pipeline()
        answer(of, asked("ann", k=2, budget="high"), [Effort.FEWER_CANDIDATES])
        assert of.retrieve.index.budgets == ["low"]


class TestDeadline:
    def test_an_expired_request_is_not_ranked_and_the_others_are(self):
        deadlines = [NEVER, time.time() - 1, time.time() + 3600]
        requests = asked("ann", "bob", "charles")
        slates = answer(pipeline(), requests, deadlines=deadlines)
        assert [ranking is None for ranking in slates.rankings] == [False, True, False]
        expected = slates_of(answer(pipeline(), requests.take(np.array([0, 2]))))
        assert [shown_rows(slates.rankings[n]) for n in (0, 2)] == expected

    def test_a_batch_in_which_all_have_expired(self):
        slates = answer(pipeline(), asked("ann", "bob"), deadlines=[0.0, 0.0])
        assert slates.rankings == [None, None]
