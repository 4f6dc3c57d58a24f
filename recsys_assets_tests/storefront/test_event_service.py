import json
import threading
from datetime import timedelta

import numpy as np
import pytest
import redis
from fastapi.concurrency import run_in_threadpool

from recsys_assets.pipeline.seen_items import SeenItems
from recsys_assets.pipeline.seen_settings import FilterSettings
from recsys_assets.storefront import bodies
from recsys_assets.storefront.access import Tokens
from recsys_assets.storefront.event_intake import IntakeLimits
from recsys_assets.storefront.event_service import PATH
from recsys_assets.storefront.event_stream import STREAM, EventStream
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.storefront.event_client import client_of, metric
from recsys_assets_tests.storefront.events import happened
from recsys_assets_tests.waiting import reached, until

pytestmark = pytest.mark.integration
ITEMS = ["tea", "soap"]


@pytest.fixture
def store(valkey_url):
    with redis.Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def client(valkey_url):
    with client_of(valkey_url) as found:
        yield found


def test_its_connections_end_with_it(valkey_url, store):
    def connections():
        return {one["id"] for one in store.client_list()}

    before = connections()
    with client_of(valkey_url) as client:
        assert client.get("/ready").status_code == 200
        assert connections() - before
    until(lambda: not connections() - before)


def seen(store, user):
    (found,) = SeenItems(store, ITEMS).seen_rows([user], [np.arange(len(ITEMS))])
    return found.tolist()


class TestAccepted:
    def test_all(self, client, store):
        answer = client.post(PATH, json=[happened(event_id="e1"), happened(event="view")])
        assert answer.status_code == 202
        told = answer.json()
        assert (told["accepted"], told["refused"]) == (2, 0)
        assert [one["accepted"] for one in told["events"]] == [True, True]
        assert told["events"][0]["event_id"] == "e1"
        assert told["events"][1]["event_id"]
        assert store.xlen(STREAM) == 2

    def test_a_purchase_is_known_to_the_very_next_request(self, client, store):
        client.post(PATH, json=[happened(), happened(user_id="bob", event="view")])
        assert seen(store, "ann") == [True, False]
        assert seen(store, "bob") == [False, False]

    def test_new_filters_are_as_the_shop_has_them(self, valkey_url, store):
        with client_of(valkey_url, filters=FilterSettings(expire_days=1)) as client:
            client.post(PATH, json=[happened()])
        assert 0 < store.ttl("seen:{ann}") <= 86_400


class TestRefused:
    def test_one_does_not_keep_the_others_out(self, client, store):
        answer = client.post(
            PATH,
            json=[
                happened(timedelta(hours=-1), event_id="ahead"),
                happened(),
                happened(price="dear"),
                "view",
            ],
        )
        assert answer.status_code == 207
        told = answer.json()
        assert (told["accepted"], told["refused"]) == (1, 3)
        ahead, good, dear, word = told["events"]
        assert ahead == {"event_id": "ahead", "accepted": False, "reason": "in_the_future"}
        assert good["accepted"]
        assert dear["reason"] == "unusable_price"
        assert dear["detail"] == "price is 'dear': give a number"
        assert word["reason"] == "not_an_object"
        assert store.xlen(STREAM) == 1

    def test_all(self, client, store):
        answer = client.post(PATH, json=[happened(quantity=-1)])
        assert answer.status_code == 422
        assert answer.json()["events"][0]["reason"] == "negative_quantity"
        assert store.xlen(STREAM) == 0

    def test_a_time_in_nanoseconds_does_not_keep_the_others_out(self, client, store):
        answer = client.post(PATH, json=[happened(), happened(timestamp=1_795_435_140 * 10**9)])
        assert answer.status_code == 207
        assert answer.json()["events"][1]["reason"] == "unusable_timestamp"
        assert store.xlen(STREAM) == 1

    def test_lines_of_an_order_that_share_an_id_are_not_lost_silently(self, client, store):
        moment = happened()["timestamp"]
        lines = [happened(timestamp=moment, item_id=one, event_id="order-1") for one in ITEMS]
        answer = client.post(PATH, json=[*lines, happened(event_id="order-2")])
        assert answer.status_code == 207
        tea, soap, other = answer.json()["events"]
        assert tea["reason"] == soap["reason"] == "shared_event_id"
        assert "give each event, as each line of an order, its own" in soap["detail"]
        assert other["accepted"]
        assert store.xlen(STREAM) == 1

    def test_an_event_twice_in_a_body_is_accepted_as_what_it_is(self, client):
        event = happened(event_id="order-1")
        assert client.post(PATH, json=[event, event]).status_code == 202

    def test_a_refused_purchase_is_not_seen(self, client, store):
        client.post(PATH, json=[happened(quantity=0), happened(event="view")])
        assert seen(store, "ann") == [False, False]

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (b"", "the body is no JSON"),
            (b"[" * 100_000, "the body is no JSON"),
            (b"\xff", "the body is no JSON"),
            (b"{}", "the body is dict: send an array of 1 to 1000 events"),
            (b"[]", "the body is 0 events"),
            (json.dumps([{}] * 1001).encode(), "the body is 1001 events"),
        ],
        ids=["empty", "deep", "binary", "object", "no events", "too many"],
    )
    def test_a_body_that_holds_no_events_is_told_so(self, client, body, problem):
        answer = client.post(PATH, content=body)
        assert answer.status_code == 422
        assert problem in answer.json()["detail"]

    def test_a_body_that_is_too_large_is_not_read(self, client, store):
        answer = client.post(PATH, content=(b" " * 100_000 for _ in range(11)))
        assert answer.status_code == 413
        assert "more than 1000000 bytes" in answer.json()["detail"]

    def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(self, client):
        def body():
            raise AssertionError("it was read")
            yield b""

        answer = client.post(PATH, content=body(), headers={"Content-Length": "1000001"})
        assert answer.status_code == 413


class TestStoreAway:
    def test_nothing_is_accepted_and_the_caller_may_come_again(self):
        with client_of(f"redis://127.0.0.1:{free_port()}/0") as client:
            answer = client.post(PATH, json=[happened()])
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert "send all of them again" in answer.json()["detail"]
            assert client.get("/ready").status_code == 503
            assert "the online store does not answer" in client.get("/ready").json()["reason"]
            assert client.get("/live").status_code == 200
            assert "recsys_events_unlanded NaN" in client.get("/metrics").text

    def test_a_store_that_is_full_takes_no_event_of_a_request(self, client, store):
        store.config_set("maxmemory", "1")
        try:
            answer = client.post(PATH, json=[happened(event="view"), happened(event="click")])
        finally:
            store.config_set("maxmemory", "0")
        assert answer.status_code == 503
        assert store.xlen(STREAM) == 0

    def test_while_landing_stands_still_the_store_is_not_filled(self, valkey_url, store):
        with client_of(valkey_url, IntakeLimits(most_unlanded=2)) as client:
            assert client.post(PATH, json=[happened(), happened()]).status_code == 202
            answer = client.post(PATH, json=[happened()])
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "30"
        assert store.xlen(STREAM) == 2

    def test_it_is_ready_while_the_store_answers(self, client):
        assert client.get("/ready").json() == {"ready": True, "reason": ""}


class TestLimits:
    @pytest.fixture
    def step(self):
        """A step that begins, and takes until it is let go on."""
        began, go_on = threading.Event(), threading.Event()

        def step():
            began.set()
            reached(go_on)

        step.began, step.go_on = began, go_on
        return step

    def refused_meanwhile(self, client, step, **first):
        """What another request is answered while that step of the first one takes its time."""
        answers = []
        thread = threading.Thread(target=lambda: answers.append(client.post(PATH, **first)))
        thread.start()
        assert reached(step.began)
        second = client.post(PATH, json=[happened()])
        step.go_on.set()
        thread.join()
        assert [one.status_code for one in answers] == [202]
        return second

    def test_further_requests_than_it_can_work_on_are_refused_at_once(
        self, valkey_url, monkeypatch, step
    ):
        append = EventStream.append
        monkeypatch.setattr(EventStream, "append", lambda *given: step() or append(*given))
        with client_of(valkey_url, IntakeLimits(concurrency=1)) as client:
            second = self.refused_meanwhile(client, step, json=[happened()])
            assert second.status_code == 503
            assert second.headers["Retry-After"] == "1"
            assert client.post(PATH, json=[happened()]).status_code == 202

    def test_bodies_beyond_those_that_it_may_hold_are_not_read(self, valkey_url, monkeypatch, step):
        read = bodies.read_body

        async def slow(*given):
            await run_in_threadpool(step)
            return await read(*given)

        monkeypatch.setattr(bodies, "read_body", slow)
        with client_of(valkey_url, IntakeLimits(bodies=1)) as client:
            second = self.refused_meanwhile(client, step, json=[happened()])
        assert second.status_code == 503
        assert second.headers["Retry-After"] == "1"

    def test_without_the_token_nothing_is_read(self, valkey_url, store):
        with client_of(valkey_url, tokens=Tokens("geheim")) as client:
            assert client.post(PATH, json=[happened()]).status_code == 401
            assert store.xlen(STREAM) == 0
            headers = {"Authorization": "Bearer geheim"}
            assert client.post(PATH, json=[happened()], headers=headers).status_code == 202


class TestMetrics:
    def test_events_and_reasons_are_counted(self, client):
        client.post(
            PATH,
            json=[happened(), happened(event="view"), happened(quantity=-1, price=-1.0)],
        )
        assert metric(client, 'recsys_events_accepted_total{event="purchase"}') == 1
        assert metric(client, 'recsys_events_accepted_total{event="view"}') == 1
        assert metric(client, 'recsys_events_refused_total{reason="negative_quantity"}') == 1
        assert metric(client, 'recsys_events_refused_total{reason="negative_price"}') == 1
        assert metric(client, "recsys_events_unlanded") == 2

    def test_requests_are_counted_by_path_and_status(self, client):
        client.post(PATH, json=[happened()])
        client.get("/secret")
        client.get(PATH)
        labels = '{path="%s",service="events",status="%s"}'
        for path, status in ((PATH, "202"), ("other", "404"), (PATH, "405")):
            assert metric(client, f"recsys_http_requests_total{labels % (path, status)}") == 1
