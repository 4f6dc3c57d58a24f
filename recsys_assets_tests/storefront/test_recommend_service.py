import threading
import time
from dataclasses import replace

import grpc
import pytest
from fastapi.testclient import TestClient

from recsys_assets.storefront import recommend_service as module
from recsys_assets.storefront.access import Tokens
from recsys_assets.storefront.recommend_service import (
    LONGEST_MS,
    PATH,
    QueryLimits,
    recommend_service,
)
from recsys_assets_tests.benchmarks.serving import fake_server
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.storefront.fake_triton import FakeTriton
from recsys_assets_tests.waiting import reached, until

AT = 1_506_816_000
FULL = "Exceeds maximum queue size"


@pytest.fixture
def triton():
    return FakeTriton()


@pytest.fixture
def address(triton):
    with triton.serve() as found:
        yield found


# Where the deadline is not what is tested.
PATIENT = QueryLimits(deadline_ms=LONGEST_MS)


def client_of(address, limits=PATIENT, **options):
    return TestClient(recommend_service(address, limits, **options)[1])


@pytest.fixture
def client(address):
    with client_of(address) as found:
        yield found


def inputs(request):
    contents = zip(request.inputs, request.raw_input_contents, strict=True)
    return {
        tensor.name: content[4:]
        if tensor.datatype == "BYTES"
        else int.from_bytes(content, "little")
        for tensor, content in contents
    }


class TestAnswer:
    def test_a_slate(self, client):
        answer = client.get(PATH)
        assert answer.status_code == 200
        assert answer.json() == {
            "items": [{"item_id": "a", "score": 0.0}, {"item_id": "b", "score": 0.0}],
            "release": 7,
            "degraded": False,
        }

    def test_the_request_id_finds_it_in_the_log(self, client, triton):
        answer = client.get(PATH)
        assert answer.headers["X-Request-Id"] == triton.asked[0].id


class TestRequest:
    def test_reaches_triton_as_it_came(self, client, triton):
        asked = {"user_id": "ann ☃", "k": 5, "device": "web", "at": AT}
        client.get(PATH, params=asked)
        (request,) = triton.asked
        assert request.model_name == "recommend"
        assert inputs(request) == {
            "user_id": "ann ☃".encode(),
            "device": b"web",
            "timestamp": AT,
            "k": 5,
        }

    @pytest.mark.parametrize(
        "at", ["2017-10-01T00:00:00Z", "2017-10-01T02:00:00+02:00", "2017-10-01T00:00:00", AT]
    )
    def test_times(self, client, triton, at):
        client.get(PATH, params={"at": at})
        assert inputs(triton.asked[0])["timestamp"] == AT

    def test_now_is_the_default(self, client, triton):
        client.get(PATH)
        assert abs(inputs(triton.asked[0])["timestamp"] - time.time()) < 60

    @pytest.mark.parametrize(("priority", "number"), [("page", 1), ("mail", 2)])
    def test_has_a_class(self, client, triton, priority, number):
        asked = {"priority": priority, "deadline_ms": 300, "search_budget": "low"}
        before = time.time() * 1000
        client.get(PATH, params=asked)
        parameters = triton.asked[0].parameters
        assert parameters["priority"].uint64_param == number
        assert parameters["timeout"].int64_param == 300_000
        assert 0 < parameters["deadline_ms"].int64_param - before <= 300 + 60_000
        assert parameters["search_budget"].string_param == "low"

    @pytest.mark.parametrize(
        ("asked", "problem"),
        [
            ({"k": 0}, "k is 0: ask for 1 to 200 items"),
            ({"k": 2**70}, "k is 1180591620717411303424: ask for 1 to 200 items"),
            ({"k": "many"}, "k is 'many': Input should be a valid integer"),
            ({"at": "yesterday"}, "at is 'yesterday': Input should be a valid datetime"),
            ({"at": "2345-01-01T00:00:00Z"}, "give seconds since 1970-01-01 UTC"),
            ({"user_id": "x" * 5000}, "user_id has 5000 bytes: at most 4096 are accepted"),
            ({"priority": "now"}, "priority is 'now': Input should be 'page' or 'mail'"),
            ({"user": "ann"}, "user is 'ann': Extra inputs are not permitted"),
            ({"deadline_ms": 0}, "deadline_ms is '0': Input should be greater than or equal to 1"),
        ],
    )
    def test_that_cannot_be_used_is_told_why_and_not_sent(self, client, triton, asked, problem):
        answer = client.get(PATH, params=asked)
        assert answer.status_code == 422
        assert problem in answer.json()["detail"]
        assert triton.asked == []


class TestAnonymousVisitors:
    def test_are_answered_from_memory_to_a_rounded_time(self, address, triton):
        with client_of(address, replace(PATIENT, cache_seconds=60)) as client:
            client.get(PATH, params={"at": AT + 59})
            client.get(PATH, params={"at": AT + 59, "user_id": "ann"})
        anonymous, ann = triton.asked
        assert (anonymous.model_name, inputs(anonymous)["timestamp"]) == ("recommend_cached", AT)
        assert (ann.model_name, inputs(ann)["timestamp"]) == ("recommend", AT + 59)

    def test_are_not_by_default(self, client, triton):
        client.get(PATH)
        assert triton.asked[0].model_name == "recommend"


class TestRefusal:
    def ask(self, client, triton, *failures, **asked):
        triton.failures = list(failures)
        return client.get(PATH, params=asked)

    def test_too_much_to_do(self, client, triton):
        answer = self.ask(client, triton, (grpc.StatusCode.UNAVAILABLE, FULL))
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert FULL in answer.json()["detail"]
        assert len(triton.asked) == 1, "asking again at once would make it worse"

    def test_a_server_that_went_away_is_made_up_for_by_another(self, client, triton):
        answer = self.ask(client, triton, (grpc.StatusCode.UNAVAILABLE, "Socket closed"))
        assert answer.status_code == 200
        first, second = triton.asked
        assert first.id == second.id, "so that the log counts it once"

    def test_only_once(self, client, triton):
        away = (grpc.StatusCode.UNAVAILABLE, "Socket closed")
        answer = self.ask(client, triton, away, away)
        assert answer.status_code == 503
        assert len(triton.asked) == 2

    @pytest.mark.parametrize(
        ("code", "status"),
        [
            (grpc.StatusCode.DEADLINE_EXCEEDED, 504),
            (grpc.StatusCode.CANCELLED, 504),
            (grpc.StatusCode.INVALID_ARGUMENT, 422),
            (grpc.StatusCode.INTERNAL, 502),
        ],
    )
    def test_says_in_http_what_triton_says(self, client, triton, code, status):
        answer = self.ask(client, triton, (code, "for a reason"))
        assert answer.status_code == status
        assert "for a reason" in answer.json()["detail"]

    def test_no_server_at_all(self):
        with client_of(f"127.0.0.1:{free_port()}") as client:
            answer = client.get(PATH, params={"deadline_ms": 2000})
            assert answer.status_code == 503
            assert "Retry-After" in answer.headers

    def test_without_the_token(self, address, triton):
        with client_of(address, tokens=Tokens("geheim")) as client:
            assert client.get(PATH).status_code == 401
            assert client.get(PATH, headers={"Authorization": "Bearer geheim"}).status_code == 200


class TestLimits:
    @pytest.fixture
    def held(self):
        """A server that answers visitors when it is let go; (address, asked, go on)."""
        asked, go_on = threading.Event(), threading.Event()

        def hold():
            asked.set()
            reached(go_on)

        with FakeTriton(hold).serve() as address:
            yield address, asked, go_on
            go_on.set()

    def test_no_answer_by_the_deadline(self, held):
        with client_of(held[0]) as client:
            answer = client.get(PATH, params={"deadline_ms": 50})
        assert answer.status_code == 504
        assert "deadline_ms is 50: no answer by then" in answer.json()["detail"]

    def test_of_a_request_without_one(self, held):
        with client_of(held[0], QueryLimits(deadline_ms=60)) as client:
            assert "deadline_ms is 60" in client.get(PATH).json()["detail"]

    def test_more_at_a_time_than_it_takes_on_are_refused(self, held):
        address, asked, go_on = held
        answers = []
        with client_of(address, replace(PATIENT, concurrency=1)) as client:
            first = threading.Thread(target=lambda: answers.append(client.get(PATH)))
            first.start()
            assert reached(asked)
            second = client.get(PATH)
            go_on.set()
            first.join()
        assert second.status_code == 503
        assert second.headers["Retry-After"] == "1"
        assert [one.status_code for one in answers] == [200]


class TestReadiness:
    def until(self, client, status, path="/ready"):
        until(lambda: client.get(path).status_code == status, f"{status} of {path}")

    def test_is_a_real_answer(self, client, triton):
        self.until(client, 200)
        assert triton.probes
        assert triton.asked == []

    def test_an_answer_that_cannot_be_read_is_beyond_this_process(self):
        untyped = fake_server.serve(lambda *_: fake_server.response())
        with untyped as running, client_of(running.grpc) as client:
            self.until(client, 503, "/live")
            assert "the probe has ended: ValueError" in client.get("/live").json()["reason"]

    def test_ends_with_the_answers(self, monkeypatch):
        monkeypatch.setattr(module, "_PROOF_SECONDS", 0.3)
        monkeypatch.setattr(module, "_PROBE_EVERY_SECONDS", 0.05)
        server = FakeTriton().serve()
        address = server.__enter__()
        with client_of(address) as client:
            try:
                self.until(client, 200)
            finally:
                server.__exit__(None, None, None)
            self.until(client, 503)
            assert f"no answer from {address}" in client.get("/ready").json()["reason"]
            assert client.get("/live").status_code == 200
