"""What callers who change items are answered, over a real store."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import redis

from recsys_assets.pipeline.item_changes import CHANGES, START, ItemChanges, ItemState
from recsys_assets.storefront.access import Tokens
from recsys_assets.storefront.item_intake import ItemLimits
from recsys_assets.storefront.item_routes import ITEM_PATH, ITEMS_PATH
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.storefront.event_client import client_of, metric

pytestmark = pytest.mark.integration
SOLD_OUT = {"available": False}
AS_RELEASED = {"available": True, "withdrawn": False, "since": None}


@pytest.fixture
def changes(valkey_url):
    with redis.Redis.from_url(valkey_url) as client:
        yield ItemChanges(client)


@pytest.fixture
def client(valkey_url):
    with client_of(valkey_url) as found:
        yield found


class TestOne:
    def test_is_answered_how_it_is_and_since_when(self, client):
        before = datetime.now(UTC) - timedelta(minutes=1)
        answer = client.put("/v1/items/tea", json=SOLD_OUT)
        assert answer.status_code == 200
        told = answer.json()
        assert told == {
            "item_id": "tea",
            "available": False,
            "withdrawn": False,
            "since": told["since"],
        }
        assert before < datetime.fromisoformat(told["since"]) < before + timedelta(minutes=2)
        assert client.get("/v1/items/tea").json() == told

    def test_comes_back(self, client):
        client.put("/v1/items/tea", json=SOLD_OUT)
        told = client.put("/v1/items/tea", json={"available": True}).json()
        assert told == {"item_id": "tea", **AS_RELEASED}

    def test_that_nobody_told_of_is_as_released(self, client):
        assert client.get("/v1/items/tea").json() == {"item_id": "tea", **AS_RELEASED}

    @pytest.mark.parametrize("item_id", ["te/a", "Öl 1 %", "a?b#c", "\N{SNOWMAN}" * 100])
    def test_whatever_its_id_is(self, client, changes, item_id):
        path = f"{ITEMS_PATH}/{''.join(f'%{byte:02x}' for byte in item_id.encode())}"
        assert client.put(path, json=SOLD_OUT).json()["item_id"] == item_id
        assert client.get(path).json()["available"] is False
        assert dict(changes.states()) == {item_id: ItemState(available=False)}

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (b"", "the body is no JSON"),
            (b"[" * 100_000, "the body is no JSON"),
            (b"false", "item is False: give an object of available, withdrawn"),
            (b"{}", "item is {}: give one of available, withdrawn"),
            (b'{"available": "no"}', "available is 'no': give true or false"),
            (b'{"available": 0}', "available is 0: give true or false"),
            (b'{"available": null}', "available is None: give true or false"),
            (b'{"price": 3}', "'price' is 3: give only available, withdrawn"),
            (b'{"item_id": "soap", "available": true}', "'item_id' is 'soap': give only"),
        ],
    )
    def test_is_not_changed_by_what_is_no_change(self, client, changes, body, problem):
        answer = client.put("/v1/items/tea", content=body)
        assert answer.status_code == 422
        assert problem in answer.json()["detail"]
        assert changes.last() == START

    @pytest.mark.parametrize("item_id", ["", "x" * 513])
    def test_has_an_id_of_the_contract(self, client, item_id):
        for answer in (
            client.get(f"/v1/items/{item_id}"),
            client.put(f"/v1/items/{item_id}", json=SOLD_OUT),
        ):
            assert answer.status_code == 422
            assert "give a string of 1 to 512 bytes" in answer.json()["detail"]


class TestMany:
    def test_all_are_accepted(self, client, changes):
        body = [{"item_id": "tea", **SOLD_OUT}, {"item_id": "soap", "withdrawn": True}]
        answer = client.put(ITEMS_PATH, json=body)
        assert answer.status_code == 200
        assert answer.json() == {
            "accepted": 2,
            "refused": 0,
            "items": [
                {"item_id": "tea", "accepted": True},
                {"item_id": "soap", "accepted": True},
            ],
        }
        (entry,) = changes.after(START)
        assert entry.states == {
            "tea": ItemState(available=False),
            "soap": ItemState(withdrawn=True),
        }

    def test_one_does_not_keep_the_others_out(self, client, changes):
        body = [
            {"item_id": "tea", "available": 1},
            {"item_id": "soap", **SOLD_OUT},
            SOLD_OUT,
            {"item_id": ["tea"], **SOLD_OUT},
            {"item_id": "\ud800", **SOLD_OUT},
            "milk",
        ]
        answer = client.put(
            ITEMS_PATH, content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 207
        told = answer.json()
        assert (told["accepted"], told["refused"]) == (1, 5)
        assert [one.get("reason") for one in told["items"]] == [
            "unusable_available",
            None,
            *["unusable_item_id"] * 3,
            "not_an_object",
        ]
        assert told["items"][0]["detail"] == "available is 1: give true or false"
        assert dict(changes.states()) == {"soap": ItemState(available=False)}

    def test_none_is_accepted(self, client, changes):
        answer = client.put(ITEMS_PATH, json=[{"item_id": "tea"}])
        assert answer.status_code == 422
        assert answer.json()["items"][0]["reason"] == "no_change"
        assert changes.last() == START

    def test_of_changes_of_one_item_the_last_holds(self, client, changes):
        body = [
            {"item_id": "tea", "available": value, **more}
            for value, more in ((True, {"withdrawn": True}), (False, {}))
        ]
        assert client.put(ITEMS_PATH, json=body).status_code == 200
        assert dict(changes.states()) == {"tea": ItemState(available=False, withdrawn=True)}

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (b"{}", "the body is dict: send an array of 1 to 1000 items"),
            (b"[]", "the body is 0 items"),
            (json.dumps([{}] * 1001).encode(), "the body is 1001 items"),
        ],
    )
    def test_a_body_that_holds_none_is_told_so(self, client, body, problem):
        answer = client.put(ITEMS_PATH, content=body)
        assert answer.status_code == 422
        assert problem in answer.json()["detail"]

    def test_a_body_that_is_too_large_is_not_read(self, client):
        assert client.put(ITEMS_PATH, content=b" " * 200_001).status_code == 413


class TestNotKept:
    def test_while_the_store_is_away(self):
        with client_of(f"redis://127.0.0.1:{free_port()}/0") as client:
            for answer in (
                client.put("/v1/items/tea", json=SOLD_OUT),
                client.put(ITEMS_PATH, json=[{"item_id": "tea", **SOLD_OUT}]),
                client.get("/v1/items/tea"),
            ):
                assert answer.status_code == 503
                assert answer.headers["Retry-After"] == "1"
            assert "recsys_items_departing NaN" in client.get("/metrics").text

    def test_beyond_what_the_store_may_hold(self, valkey_url):
        with client_of(valkey_url, item_limits=ItemLimits(most_told=1)) as client:
            assert client.put("/v1/items/tea", json=SOLD_OUT).status_code == 200
            answer = client.put("/v1/items/soap", json=SOLD_OUT)
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "30"
            assert answer.json()["detail"].startswith("1 items are unavailable or withdrawn: make")
            client.put("/v1/items/tea", json={"available": True})
            assert client.put("/v1/items/soap", json=SOLD_OUT).status_code == 200

    def test_without_the_token(self, valkey_url, changes):
        with client_of(valkey_url, tokens=Tokens("geheim")) as client:
            assert client.put("/v1/items/tea", json=SOLD_OUT).status_code == 401
            assert client.get("/v1/items/tea").status_code == 401
            assert changes.last() == START

    def test_a_store_that_is_full_takes_nothing_of_a_body(self, client, valkey_url, changes):
        with redis.Redis.from_url(valkey_url) as store:
            store.config_set("maxmemory", "1")
            try:
                answer = client.put(ITEMS_PATH, json=[{"item_id": "tea", **SOLD_OUT}])
            finally:
                store.config_set("maxmemory", "0")
            assert answer.status_code == 503
            assert not store.exists(CHANGES)
        assert changes.count() == 0


def test_changes_and_refusals_are_counted(client):
    client.put("/v1/items/tea", json={"available": False, "withdrawn": True})
    client.put("/v1/items/soap", json={"available": "no"})
    client.put(ITEMS_PATH, json=[{"item_id": "milk", **SOLD_OUT}, 7])
    assert metric(client, 'recsys_item_changes_accepted_total{field="available"}') == 2
    assert metric(client, 'recsys_item_changes_accepted_total{field="withdrawn"}') == 1
    assert metric(client, 'recsys_item_changes_refused_total{reason="unusable_available"}') == 1
    assert metric(client, 'recsys_item_changes_refused_total{reason="not_an_object"}') == 1
    assert metric(client, "recsys_items_departing") == 2
    labels = '{path="%s",service="events",status="%s"}'
    for path, status, count in (
        (ITEM_PATH, "200", 1),
        (ITEM_PATH, "422", 1),
        (ITEMS_PATH, "207", 1),
    ):
        assert metric(client, f"recsys_http_requests_total{labels % (path, status)}") == count
