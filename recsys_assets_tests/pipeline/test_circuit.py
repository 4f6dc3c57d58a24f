import pytest
import redis

from recsys_assets.pipeline.circuit import (
    FAILURES_IN_A_ROW,
    PAUSE_SECONDS,
    Circuit,
    StoreUnavailable,
)


class Store:
    def __init__(self) -> None:
        self.up = True
        self.asked = 0
        self.now = 0.0

    def ask(self) -> str:
        self.asked += 1
        if not self.up:
            raise redis.ConnectionError("refused")
        return "value"


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def circuit(store):
    return Circuit(clock=lambda: store.now)


def break_down(store, circuit):
    store.up = False
    for _ in range(FAILURES_IN_A_ROW):
        with pytest.raises(StoreUnavailable):
            circuit.call(store.ask)


def test_an_answer_is_passed_on(store, circuit):
    assert circuit.call(store.ask) == "value"


def test_one_slow_answer_does_not_stop_the_next(store, circuit):
    store.up = False
    with pytest.raises(StoreUnavailable):
        circuit.call(store.ask)
    store.up = True
    assert circuit.call(store.ask) == "value"


def test_a_store_that_is_down_is_left_alone(store, circuit):
    break_down(store, circuit)
    for _ in range(100):
        with pytest.raises(StoreUnavailable):
            circuit.call(store.ask)
    assert store.asked == FAILURES_IN_A_ROW


def test_it_is_asked_once_after_each_pause(store, circuit):
    break_down(store, circuit)
    store.now += PAUSE_SECONDS
    for _ in range(100):
        with pytest.raises(StoreUnavailable):
            circuit.call(store.ask)
    assert store.asked == FAILURES_IN_A_ROW + 1


def test_it_heals_by_itself(store, circuit):
    break_down(store, circuit)
    store.up = True
    store.now += PAUSE_SECONDS
    assert circuit.call(store.ask) == "value"
    assert circuit.call(store.ask) == "value"
