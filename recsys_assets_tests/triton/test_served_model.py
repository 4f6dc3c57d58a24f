"""The Triton model around a made-up pipeline, in a made-up stub."""

import json
import sys
import time

import numpy as np
import pytest

from recsys_assets.models.device import CPU
from recsys_assets.pipeline.item_follower import FollowerState
from recsys_assets.pipeline.pipeline import Effort
from recsys_assets.pipeline.seen_settings import WhenDown
from recsys_assets.triton import served_model
from recsys_assets.triton.served_model import PipelineModel
from recsys_assets_tests.serving import made_up_backend
from recsys_assets_tests.serving.made_up_backend import Request
from recsys_assets_tests.serving.made_up_stages import Features, pipeline

ITEMS = 100
RELEASE = "7"


class Log:
    """Takes what a `LogWriter` takes."""

    def __init__(self, *_, **__):
        self.answers = []
        self.closed = False

    def put(self, answer):
        self.answers.append(answer)
        return 0

    def close(self):
        self.closed = True


class Follower:
    """Takes what an `ItemFollower` takes, and knows of no change."""

    def __init__(self, _, items):
        self.items = items
        self.started = self.closed = False

    def start(self, seconds):
        assert seconds > 0
        self.started = True

    def state(self):
        return FollowerState(0.0, 0.0, self.items.count_off_sale())

    def close(self):
        self.closed = True


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Starts a model over a made-up pipeline, as the stub would."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", made_up_backend)
    monkeypatch.setattr(made_up_backend.MetricFamily, "families", {})
    monkeypatch.setattr(served_model, "LogWriter", Log)
    monkeypatch.setattr(served_model, "ItemFollower", Follower)
    monkeypatch.setattr(served_model.gc, "freeze", lambda: None)
    monkeypatch.setattr(served_model.sys, "setswitchinterval", lambda _: None)
    monkeypatch.setenv("RECSYS_BATCH_BUDGET_MS", "1000")

    def started(**of):
        made = pipeline(ITEMS, **of)

        class Model(PipelineModel):
            @staticmethod
            def load(folder, device):
                assert folder == tmp_path / RELEASE
                assert device == CPU
                return made

        model = Model()
        model.initialize(
            {
                "model_version": RELEASE,
                "model_repository": str(tmp_path),
                "model_instance_name": "pipeline_0_0",
                "model_instance_kind": "CPU",
                "model_instance_device_id": "0",
            }
        )
        made.query.tower.batches.clear()
        return model

    return started


@pytest.fixture
def model(start):
    return start()


def errors(responses):
    return [response.error and response.error.message for response in responses]


class TestAnswers:
    def test_a_slate_and_where_it_comes_from(self, model):
        (response,) = model.execute([Request(("ann",), k=3)])
        assert response["item_id"] == [[b"item 22", b"item 21", b"item 20"]]
        assert response["score"] == [[22.0, 21.0, 20.0]]
        assert response["release"] == [[7]]
        assert response["degraded"] == [[False]]

    def test_requests_that_come_together_are_one_batch(self, model):
        model.execute([Request(("ann",)), Request(("bob", "")), Request(("charles",))])
        assert model._pipeline.query.tower.batches == [4]

    def test_each_gets_his_own_as_if_alone(self, model):
        requests = [Request(("ann",), k=2), Request(("bob", ""), k=[1, 4]), Request(("",), k=60)]
        together = model.execute(requests)
        for request, response in zip(requests, together, strict=True):
            (alone,) = model.execute([request])
            for name in ("item_id", "score", "release", "degraded"):
                assert response[name] == alone[name]

    def test_a_row_with_too_few_items_ends_in_empty_ids(self, start):
        few = start(bought=range(98))
        (response,) = few.execute([Request(("ann", ""), k=[3, 1])])
        assert response["item_id"] == [[b"item 99", b"item 98", b""], [b"item 19", b"", b""]]
        assert response["score"][0][2] == 0

    def test_an_outage_is_stated_for_each_row(self, start):
        down = start(features=Features(down=True))
        (response,) = down.execute([Request(("ann", ""))])
        assert response["degraded"] == [[True], [False]]

    def test_shed_requests_are_answered_and_stated(self, model):
        model._shedder.efforts = lambda count: np.arange(count) % len(Effort)
        responses = model.execute([Request((user,), k=2) for user in ("ann", "bob", "charles")])
        assert errors(responses) == [None] * 3
        assert [response["degraded"] for response in responses] == [[[False]], [[True]], [[True]]]
        assert responses[2]["item_id"] == [[b"item 99", b"item 98"]]


class TestItems:
    def test_changes_are_followed_from_before_the_first_request_to_the_end(self, model):
        follower = model._follower
        assert follower.started
        model.finalize()
        assert follower.closed

    def test_what_goes_off_sale_is_gone_from_the_next_slate(self, model):
        model._follower.items.change({"item 22": False})
        (response,) = model.execute([Request(("ann",), k=3)])
        assert response["item_id"] == [[b"item 21", b"item 20", b"item 19"]]
        model._follower.items.change({"item 22": True})
        (response,) = model.execute([Request(("ann",), k=3)])
        assert response["item_id"] == [[b"item 22", b"item 21", b"item 20"]]


class TestRefusals:
    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (Request(("ann",), k=0), "k is 0: ask for 1 to 200 items"),
            (Request(("x" * 5000,)), "user_id has 5000 bytes: at most 4096 are accepted"),
            (
                Request(("ann",), sent_with={"search_budget": "endless"}),
                "search_budget is 'endless': choose one of high, normal",
            ),
        ],
    )
    def test_a_bad_request_harms_no_other(self, model, bad, message):
        good = [Request(("bob",)), Request(("charles",))]
        responses = model.execute([good[0], bad, good[1]])
        assert errors(responses) == [None, message, None]
        assert responses[1].error.code == "INVALID_ARG"
        for response, request in zip((responses[0], responses[2]), good, strict=True):
            assert response["item_id"] == model.execute([request])[0]["item_id"]

    def test_nothing_but_bad_requests(self, model):
        assert errors(model.execute([Request(("ann",), k=-1)])) == [
            "k is -1: ask for 1 to 200 items"
        ]

    def test_an_expired_request_is_refused_and_the_others_are_answered(self, model):
        now = int(time.time() * 1000)
        late = Request(("ann",), sent_with={"deadline_ms": now - 1})
        in_time = Request(("bob",), sent_with={"deadline_ms": now + 60_000})
        responses = model.execute([late, in_time, Request(("charles",))])
        assert errors(responses)[0].startswith("the deadline passed before")
        assert responses[0].error.code == "CANCELLED"
        assert errors(responses)[1:] == [None, None]

    def test_who_may_not_be_shown_unchecked_items_is_told_so(self, start):
        refusing = start(down=True)
        refusing._pipeline.retrieve.when_down = WhenDown.REFUSE
        known, anonymous = refusing.execute([Request(("ann",)), Request(("",))])
        assert "does not say what the user has bought" in known.error.message
        assert known.error.code == "UNAVAILABLE"
        assert anonymous.error is None


class TestParameters:
    def test_a_search_budget_reaches_the_index(self, model):
        index = model._pipeline.retrieve.index
        index.budgets.clear()
        model.execute([Request(("ann",), sent_with={"search_budget": "high"})])
        assert index.budgets == ["high"]


class TestLog:
    def test_the_whole_answer(self, model):
        before = time.time_ns() // 1000
        model.execute([Request(("ann",), k=2, id="mine")])
        (answer,) = model._log.answers
        assert answer.request_id == "mine"
        assert (answer.release, answer.k, answer.degraded) == (7, 2, False)
        assert before <= answer.answered_at <= time.time_ns() // 1000
        assert json.loads(answer.context) == {
            "age": "30-39",
            "spend_7d": 12.5,
            "user_id": "ann",
            "device": "web",
        }
        assert answer.rows[answer.shown].tolist() == [22, 21]
        assert answer.scores.tolist() == answer.rows.tolist()

    def test_rows_of_a_request_are_numbered_across_a_batch(self, model):
        model.execute([Request(("ann",), id="one"), Request(("bob", "charles"), id="two")])
        assert [answer.request_id for answer in model._log.answers] == ["one", "two#0", "two#1"]
        users = [json.loads(answer.context)["user_id"] for answer in model._log.answers]
        assert users == ["ann", "bob", "charles"]

    def test_a_request_without_an_id_gets_one(self, model):
        model.execute([Request(("ann",)), Request(("ann",))])
        one, other = (answer.request_id for answer in model._log.answers)
        assert one != other

    def test_probes_refused_and_expired_requests_are_not_logged(self, model):
        model.execute(
            [
                Request(("ann",), id="probe:1"),
                Request(("ann",), k=0, id="bad"),
                Request(("ann",), id="late", sent_with={"deadline_ms": 1}),
                Request(("ann",), id="traffic"),
            ]
        )
        assert [answer.request_id for answer in model._log.answers] == ["traffic"]

    def test_warming_up_is_not_logged(self, model):
        assert model._log.answers == []

    def test_it_is_closed_before_the_process_ends(self, model):
        model.finalize()
        assert model._log.closed
