"""What the guard holds against a release, on answers that are made up."""

import pytest
from tritonclient.utils import InferenceServerException

from recsys_assets.rollout import canary, guard
from recsys_assets.rollout.guard import Guard, _Tally, watch_promotion
from recsys_assets.rollout.release_target import Answering
from recsys_assets.triton.client import Recommendation
from recsys_assets_tests.conftest import free_port

RELEASE = 7


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The seconds by now; to sleep is all that takes time."""
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    monkeypatch.setattr(canary.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(canary.time, "sleep", sleep)
    return now


class Server:
    """Answers in turn: a release number, "degraded", "busy", or "error"; the last one for ever."""

    def __init__(self, *answers):
        self._answers = list(answers)

    def recommend(self, user, timestamp):
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer == "error":
            raise InferenceServerException("the ranker is dead")
        if answer == "busy":
            raise InferenceServerException("Exceeds maximum queue size")
        release, degraded = (RELEASE, True) if answer == "degraded" else (answer, False)
        return Recommendation([], [], release, degraded, request_id="")


def verdict(*answers, guard=None):
    """Of users, each of whom gets one of the answers however often."""
    tally = _Tally(RELEASE, guard or Guard())
    for answer in answers:
        tally.ask(Server(answer), "ann", 0)
    return tally.verdict()


def test_sound_answers_pass():
    assert verdict(*[RELEASE] * 100) == ""


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([RELEASE] * 97 + ["error"] * 3, "3 of 100 requests failed: the ranker is dead"),
        (["error"], "1 of 1 requests failed"),
        ([RELEASE] * 79 + ["degraded"] * 21, "21 of 100 answers were degraded"),
        ([RELEASE] * 99 + [6], "release 6 answers"),
    ],
)
def test_too_many_faults_trip(answers, why):
    assert why in verdict(*answers)


def test_few_faults_do_not_trip():
    assert verdict(*[RELEASE] * 78, "error", "error", *["degraded"] * 20) == ""


@pytest.mark.parametrize("moment", ["degraded", "busy"])
def test_a_moment_of_a_busy_machine_is_no_fault_of_the_release(moment):
    tally = _Tally(RELEASE, Guard())
    for _ in range(100):
        tally.ask(Server(moment, moment, RELEASE), "ann", 0)
    report = tally.report()
    assert (report.requests, report.errors, report.degraded, report.tripped) == (100, 0, 0, "")


def test_a_release_that_stays_too_busy_trips():
    assert "100 of 100 requests failed: Exceeds maximum" in verdict(*["busy"] * 100)


def test_degraded_answers_without_a_store_are_no_fault_of_the_release():
    nobody = Guard(online_store_url=f"redis://127.0.0.1:{free_port()}/0")
    assert verdict(*["degraded"] * 100, guard=nobody) == ""


@pytest.mark.integration
def test_degraded_answers_with_a_store_that_answers_are(valkey_url):
    assert "degraded" in verdict(*["degraded"] * 100, guard=Guard(online_store_url=valkey_url))


def test_a_first_failure_alone_does_not_end_the_watch():
    tally, server = _Tally(RELEASE, Guard()), Server("error", *[RELEASE] * 60)
    tally.ask(server, "ann", 0)
    assert tally.verdict(fewest=20) == ""
    for _ in range(60):
        tally.ask(server, "ann", 0)
    report = tally.report()
    assert (report.requests, report.errors, report.tripped) == (61, 1, "")


class TestServers:
    """Several of them, each asked by itself."""

    @pytest.fixture
    def watch(self, monkeypatch):
        """Watches servers by their addresses; `watch.asked` counts what each was asked."""

        class Client(Server):
            def __init__(self, address, probe):
                assert probe
                super().__init__(*servers[address])
                self._address = address

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def recommend(self, user, timestamp):
                watch.asked[self._address] += 1
                return super().recommend(user, timestamp)

        def watch(gone=(), **answers):
            servers.update(answers)
            watch.asked = dict.fromkeys(answers, 0)
            answering = Answering(tuple(answers), gone.__contains__)
            return watch_promotion(answering, RELEASE, Guard(seconds=5.0), 0)

        servers = {}
        monkeypatch.setattr(guard, "RecommendClient", Client)
        return watch

    def test_all_are_asked_alike(self, watch):
        report = watch(a=[RELEASE], b=[RELEASE], c=[RELEASE])
        assert (report.tripped, report.errors) == ("", 0)
        assert max(watch.asked.values()) - min(watch.asked.values()) <= 1
        assert report.requests == sum(watch.asked.values()) >= 90

    def test_one_that_fails_speaks_against_the_release(self, watch):
        assert "requests failed: the ranker is dead" in watch(a=[RELEASE], b=["error"]).tripped

    def test_one_that_was_taken_away_does_not(self, watch):
        report = watch(gone={"b"}, a=[RELEASE], b=[RELEASE, RELEASE, "error"])
        assert (report.tripped, report.errors, watch.asked["b"]) == ("", 0, 3)

    def test_one_that_has_failed_and_is_there_goes_on_being_asked(self, watch):
        report = watch(a=[RELEASE], b=[*[RELEASE] * 40, "error", RELEASE])
        assert (report.tripped, report.errors) == ("", 1)
        assert watch.asked["b"] > 41

    @pytest.mark.parametrize("answers", [{}, {"a": ["error"]}])
    def test_somebody_must_have_answered(self, watch, answers):
        assert watch(gone={"a"}, **answers).tripped == "release 7 never answered"
