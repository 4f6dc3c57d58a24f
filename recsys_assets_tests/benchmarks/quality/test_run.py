import json
from datetime import timedelta

import pytest

from benchmarks.quality import run
from benchmarks.quality.run import RollingRun
from recsys_assets.evaluation import baselines
from recsys_assets.evaluation.rolling import RollingWeeks
from recsys_assets.evaluation.tuning import Tuned
from recsys_assets_tests.evaluation.tiny_weeks import (
    FIRST,
    events,
    few_buyers,  # noqa: F401
    shop,
)

pytestmark = pytest.mark.usefixtures("few_buyers")
WEEK = FIRST + timedelta(weeks=9)  # the first that eight weeks with a history lie before
WEEKS = [WEEK, WEEK + timedelta(weeks=1)]
PEERS = {
    "popularity": Tuned(baselines.popularity),
    "rp3beta": Tuned(baselines.rp3beta, ({"beta": 0.0}, {"beta": 0.5})),
}


@pytest.fixture
def rolling_run(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PEERS", PEERS)
    return lambda **task: RollingRun(shop(events(weeks=12)), tmp_path, lambda _: None, **task)


def test_peers_are_tuned_on_the_validation_weeks_and_all_is_measured_on_the_others(rolling_run):
    one = rolling_run()

    chosen = one.tuned([WEEK - timedelta(weeks=1)])
    figures = one.measured(WEEKS, chosen)

    assert chosen["popularity"] == 0
    assert chosen["rp3beta"] in (0, 1)
    assert figures["weeks"] == [str(week) for week in WEEKS]
    assert set(figures["methods"]) == {"pipeline", "popularity", "rp3beta"}
    assert figures["settings"]["rp3beta"] == dict(PEERS["rp3beta"].settings[chosen["rp3beta"]])
    assert figures["calibration"]["candidates"] > 0
    for name in ("gini_at_10", "novelty_at_10", "diversity_at_10", "value_recall_at_10"):
        assert set(figures["methods"]["pipeline"][name]) == {"mean", "low", "high"}
    json.dumps(figures, allow_nan=False)


def test_what_is_done_is_not_done_again(rolling_run, monkeypatch):
    one = rolling_run()
    chosen = one.tuned([WEEK - timedelta(weeks=1)])
    figures = one.measured(WEEKS[:1], chosen)
    made = []
    slates = RollingWeeks.slates
    monkeypatch.setattr(
        RollingWeeks,
        "slates",
        lambda self, day, peers: made.append(day) or slates(self, day, peers),
    )
    monkeypatch.setattr(RollingRun, "_trials", lambda *_: pytest.fail("tuned again"))

    again = rolling_run()
    more = again.measured(WEEKS, again.tuned([WEEK - timedelta(weeks=1)]))

    assert made == WEEKS[1:]
    assert more["by_week"][str(WEEK)] == figures["by_week"][str(WEEK)]
    once = again.measured(WEEKS[:1], chosen)
    assert once["calibration"] == figures["calibration"]


def test_repeats_are_a_task_with_a_peer_of_its_own(rolling_run):
    figures = rolling_run(repeats=True).measured(WEEKS[:1], dict.fromkeys(PEERS, 0))

    assert set(figures["methods"]) == {"pipeline", "popularity", "rp3beta", "bought_before"}
