"""What Triton does before a request reaches the model: batches, queues, and the answer cache."""

import re
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from recsys_assets.releases.release import Reason
from recsys_assets.rollout.promotion import promote, rollback
from recsys_assets.services import deployment
from recsys_assets.triton.client import CACHED, MODEL
from recsys_assets_tests.serving.tiny_release import AT, HELD_FOR_USERS, publish_tiny_release
from recsys_assets_tests.waiting import LIMIT, until

pytestmark = pytest.mark.integration

# In the model's configuration.
QUEUE = 64  # of priority 1
BATCH = 32
PROCESSES = 2


@pytest.fixture(scope="module")
def hold(tmp_path_factory):
    """The folder by which a test holds the model."""
    return tmp_path_factory.mktemp("hold")


@pytest.fixture(scope="module")
def held(running, releases, hold):
    """A release that can be held while it works for a named user, served."""
    code = HELD_FOR_USERS.format(hold=str(hold))
    release = publish_tiny_release(releases, code=code, patient=True)
    promote(releases, deployment.embedded_server(running), release)
    return release


@pytest.fixture
def raw(running, held):
    with grpc.InferenceServerClient(running.triton_grpc) as client:
        yield client


def tensors(user, k=5):
    inputs = []
    for name, datatype, values in (
        ("user_id", "BYTES", np.array([[user.encode()]], dtype=object)),
        ("device", "BYTES", np.array([[b"web"]], dtype=object)),
        ("timestamp", "INT64", np.array([[AT]])),
        ("k", "INT32", np.array([[k]], dtype=np.int32)),
    ):
        inputs.append(grpc.InferInput(name, [1, 1], datatype))
        inputs[-1].set_data_from_numpy(values)
    return inputs


class Burst:
    """Requests sent without waiting for answers; what becomes of them, in that order."""

    def __init__(self, client):
        self._client = client
        self._sent = 0
        self._changed = threading.Condition()
        self.outcomes = []

    def send(self, count, name="answered", **how):
        for _ in range(count):
            self._sent += 1
            self._client.async_infer(
                MODEL, tensors("ann"), lambda result, error: self._note(name, error), **how
            )

    def _note(self, name, error):
        with self._changed:
            self.outcomes.append(name if error is None else error.message())
            self._changed.notify()

    def wait(self):
        """Until every request has come to something."""
        with self._changed:
            done = self._changed.wait_for(lambda: len(self.outcomes) == self._sent, timeout=LIMIT)
        assert done, f"{self._sent - len(self.outcomes)} requests hang"
        return self.outcomes


@contextmanager
def busy(client, hold):
    """A burst whose first requests, one for each process, are being worked on meanwhile."""
    for file in hold.iterdir():
        file.unlink()
    burst = Burst(client)
    (hold / "wait").touch()
    try:
        for number in range(1, PROCESSES + 1):
            burst.send(1)
            until(lambda number=number: len(list(hold.iterdir())) == number + 1)
        yield burst
    finally:
        (hold / "wait").unlink()


def until_queued(running, count):
    """Until so many requests wait for a process."""
    name = "nv_inference_pending_request_count"
    until(lambda: metric(running, name, model="pipeline") == count)


def metric(running, name, **labels):
    """Sum of a metric's values with these labels."""
    url = f"http://{running.triton_metrics}/metrics"
    text = subprocess.run(["curl", "-sS", url], check=True, capture_output=True, text=True).stdout
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    found = re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.M)
    return sum(float(value) for has, value in found if all(one in has for one in wanted))


def test_requests_that_wait_together_are_executed_as_a_batch(running, raw, held, hold):
    of = {"model": "pipeline", "version": str(held)}
    names = ("nv_inference_request_success", "nv_inference_exec_count")
    before = [metric(running, name, **of) for name in names]
    with busy(raw, hold) as burst:
        burst.send(40)
        until_queued(running, 40)
    assert set(burst.wait()) == {"answered"}
    requests, executions = (
        metric(running, name, **of) - was for name, was in zip(names, before, strict=True)
    )
    assert requests == PROCESSES + 40
    assert executions < 10


def test_above_the_queue_limit_requests_are_refused_at_once_and_none_hangs(raw, hold):
    with busy(raw, hold) as burst:
        burst.send(QUEUE + 40)
        # Who is refused need not wait for those who are answered.
        until(lambda: len(burst.outcomes) > 1)
        assert all("Exceeds maximum queue size" in one for one in burst.outcomes)
    outcomes = burst.wait()
    answered = [one for one in outcomes if one == "answered"]
    refused = [one for one in outcomes if "Exceeds maximum queue size" in one]
    assert len(refused) + len(answered) == len(outcomes)
    assert len(answered) >= QUEUE


def test_e_mails_have_a_queue_of_their_own_and_wait_for_pages(running, raw, hold):
    with busy(raw, hold) as burst:
        burst.send(10, "e-mail", priority=2)
        burst.send(QUEUE, "page", priority=1)
        until_queued(running, 10 + QUEUE)
        burst.send(20, "page", priority=1)
        until(lambda: len(burst.outcomes) == 20)  # all of these were refused: the queue is full
    counts = Counter(burst.wait())
    assert counts["e-mail"] == 10
    assert counts["page"] == QUEUE
    # Sent first, yet taken last; the other process may then still work on a batch of pages.
    before = burst.outcomes[: burst.outcomes.index("e-mail")]
    assert before.count("page") >= QUEUE - (PROCESSES - 1) * BATCH


def test_who_waits_longer_than_he_allows_is_refused(running, raw, hold):
    with busy(raw, hold) as burst:
        burst.send(1, timeout=50_000)
        until_queued(running, 1)
        time.sleep(0.1)
    refused = [one for one in burst.wait() if one != "answered"]
    assert len(refused) == 1
    assert "timeout expired" in refused[0]


class TestParameters:
    def test_a_deadline_reaches_the_model(self, raw):
        late = {"deadline_ms": int(time.time() * 1000) - 1}
        with pytest.raises(InferenceServerException, match="the deadline passed before"):
            raw.infer(MODEL, tensors(""), parameters=late)
        in_time = {"deadline_ms": int(time.time() * 1000) + 60_000}
        assert raw.infer(MODEL, tensors(""), parameters=in_time).as_numpy("item_id").size == 5

    def test_a_search_budget_reaches_the_model(self, raw):
        with pytest.raises(InferenceServerException, match="search_budget is 'endless'"):
            raw.infer(MODEL, tensors(""), parameters={"search_budget": "endless"})

    def test_an_expired_request_harms_none_of_its_batch(self, running, raw, hold):
        with busy(raw, hold) as burst:
            burst.send(5)
            burst.send(5, parameters={"deadline_ms": int(time.time() * 1000) + 100})
            burst.send(5)
            until_queued(running, 15)
            time.sleep(0.2)
        outcomes = Counter(burst.wait())
        assert outcomes["answered"] == PROCESSES + 10
        assert sum("the deadline passed" in one for one in burst.outcomes) == 5


class TestCache:
    def counts(self, running):
        """Answers from memory, and requests that reached the model."""
        # Triton counts an ensemble's hits under version 1, whichever version it has.
        hits = metric(running, "nv_cache_num_hits_per_model", model=CACHED)
        return hits, metric(running, "nv_inference_request_success", model="pipeline")

    def ask(self, raw, k=5):
        return raw.infer(CACHED, tensors("", k))

    def test_the_same_question_is_answered_from_memory(self, running, raw, held):
        hits, reached = self.counts(running)
        first, second = self.ask(raw, k=6), self.ask(raw, k=6)
        for name in ("item_id", "score", "release", "degraded"):
            assert first.as_numpy(name).tolist() == second.as_numpy(name).tolist()
        assert first.as_numpy("release").tolist() == [[held]]
        assert self.counts(running) == (hits + 1, reached + 1)

    def test_another_question_is_not(self, running, raw):
        self.ask(raw, k=7)
        hits, reached = self.counts(running)
        self.ask(raw, k=8)
        assert self.counts(running) == (hits, reached + 1)

    def test_after_a_promotion_and_back_the_live_release_answers(
        self, running, raw, releases, held
    ):
        self.ask(raw)
        live = deployment.embedded_server(running)
        release = promote(releases, live, publish_tiny_release(releases)).release
        hits, _ = self.counts(running)
        for _ in range(2):
            answer = self.ask(raw)
            assert answer.as_numpy("release").tolist() == [[release]]
            items = answer.as_numpy("item_id")[0]
            assert {item.decode().split("-")[0] for item in items} == {str(release)}
        assert self.counts(running)[0] == hits + 1
        rollback(releases, live, Reason("a test", "pytest"))
        assert self.ask(raw).as_numpy("release").tolist() == [[held]]
