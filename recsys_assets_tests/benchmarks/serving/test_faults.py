import numpy as np

from benchmarks.serving.faults import Moments, Script, describe
from benchmarks.serving.outcomes import ANSWERED, OTHER
from recsys_assets_tests.benchmarks.serving.made_up import outcomes

SCRIPT = Script(rate=100, quiet=3, outage=3, settle=8)
MOMENTS = Moments(store_stopped=3.0, store_started=6.1, killed=14.0)
DUE = np.arange(0, SCRIPT.seconds, 0.01)


def test_each_fault_has_its_cost_and_time_until_whole():
    killed = (DUE >= 14) & (DUE < 14.5)
    found = describe(
        outcomes(
            DUE,
            kind=np.where(killed, OTHER, ANSWERED),
            degraded=(DUE >= 3) & (DUE < 7),
            messages=dict.fromkeys(np.flatnonzero(killed).tolist(), "stub is not healthy"),
        ),
        MOMENTS,
        SCRIPT,
    )
    store, stub = found["online_store"], found["model_process"]
    assert store["during"]["degraded"] == 400
    assert store["during"]["failed"] == 0
    assert 0 < store["seconds_until_whole"] < 1
    assert (stub["after"]["failed"], stub["seconds_until_whole"]) == (50, 1.0)
    assert found["failures"] == {"stub is not healthy": 50}
    assert found["met"] == {"online store": True, "model process": True}


def test_what_is_not_whole_again_is_not_met():
    found = describe(outcomes(DUE, degraded=DUE >= 3), MOMENTS, SCRIPT)
    assert found["online_store"]["seconds_until_whole"] is None
    assert found["met"] == {"online store": False, "model process": False}
