"""`python -m replay` over a small shop that changes: the whole loop, on real services.

The shop launches products and raises its prices on the first day that the release of the demo
does not know, and the replay begins some days later.
"""

import json
import os
import signal
import time
from collections import Counter

import pytest
import redis

from recsys_assets.pipeline.request_log import STREAM
from recsys_assets.runtime.processes import Daemon
from recsys_assets.storage import Store
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.small_deployment import REPLAY, REPLAYED, USERS, SmallDeployment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(7200), pytest.mark.slow]

FIRST, SECOND = REPLAYED
SETTINGS = {"RECSYS_TODAY": FIRST, "RECSYS_DRIFT_DAYS": "2/2"}
TWO_DAYS = [*REPLAY, "--days", "2"]
SESSIONS = USERS // 3


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    """A deployment over the small shop in which release 1 is live."""
    small = SmallDeployment(tmp_path_factory.mktemp("replay"), free_port)
    done = small.recsys("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    yield small
    small.recsys("down")


@pytest.fixture(scope="module")
def killed(deployment):
    """The replay, killed with SIGKILL while it sends the second day's sessions."""
    log = deployment.home.parent / "replay.log"
    process = deployment.begin(log, TWO_DAYS, **SETTINGS)
    with redis.Redis.from_url(deployment.online_store_url) as client:
        while FIRST not in log.read_text() or client.xlen(STREAM) < SESSIONS // 4:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return log.read_text()


@pytest.fixture(scope="module")
def resumed(deployment, killed):
    """The same replay, started again."""
    done = deployment.run(TWO_DAYS, **SETTINGS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def summary(deployment, resumed):
    return json.loads((deployment.home / "replay/summary.json").read_text())


@pytest.fixture
def store(deployment):
    return Store(f"{deployment.home.as_uri()}/storage")


def days_told(output):
    return [line[:10] for line in output.splitlines() if "sessions" in line]


def test_a_killed_replay_goes_on_where_it_stopped(deployment, killed, resumed, summary):
    assert days_told(killed) == [FIRST]
    assert days_told(resumed) == [SECOND]
    assert (summary["days"], summary["first_day"], summary["last_day"]) == (2, FIRST, SECOND)


def test_the_daemon_ends_with_it(deployment, resumed):
    folder = deployment.home / "replay"
    assert Daemon("dagster-daemon", folder / "daemon.pid", folder / "daemon.log").pid is None


def test_no_request_fails_or_is_answered_by_another_release(summary):
    assert summary["requests"] > 2 * SESSIONS
    assert summary["failed_requests"] == 0
    assert summary["wrong_release_requests"] == 0


@pytest.mark.parametrize(("day", "release"), [(FIRST, 1), (SECOND, 2)])
def test_every_session_is_logged_once_even_if_it_was_sent_twice(store, resumed, day, release):
    log = store.table("request_log").read([day], columns=["request_id", "release"])

    assert set(Counter(log["request_id"].to_pylist()).values()) == {1}
    assert log.num_rows == SESSIONS
    assert set(log["release"].to_pylist()) == {release}


def test_sessions_have_outcomes_a_day_later(store, resumed):
    rows = store.table("outcomes").read([SECOND])

    assert rows.num_rows == SESSIONS
    assert sum(rows["orders"].to_pylist()) >= SESSIONS


@pytest.fixture(scope="module")
def trigger(summary):
    (trigger,) = summary["triggers"]
    return trigger


@pytest.fixture(scope="module")
def candidate(summary, trigger):
    """The release of the weights that were trained on."""
    (candidate,) = (one for one in summary["releases"] if one["release"] == trigger["release"])
    return candidate


def test_drift_leads_to_a_fine_tune(summary, trigger, candidate):
    assert (trigger["job"], trigger["day"], trigger["partition"]) == ("fine_tune", SECOND, SECOND)
    assert trigger["cause"]
    assert trigger["run_id"]
    assert candidate["trained_through"] > summary["releases"][0]["trained_through"]


def test_it_is_promoted_or_rejected_with_the_reasons(trigger, candidate):
    """Which of both is for the gate: two days of a small shop leave wide intervals."""
    rejected = candidate["rejected"]

    assert trigger["outcome"] == (f"rejected: {rejected}" if rejected else "promoted")
    assert len(candidate["promoted_at"]) == (0 if rejected else 1)
    assert (trigger["seconds_to_serving"] is None) == bool(rejected)


def test_each_days_data_go_live_without_training(summary):
    first, refreshed = summary["releases"][:2]

    assert (refreshed["base_release"], refreshed["data_through"]) == (1, FIRST)
    assert refreshed["trained_through"] == first["trained_through"]
    assert len(refreshed["promoted_at"]) == 1


def test_the_release_that_was_promoted_last_is_the_one_that_answers(deployment, summary):
    last = max(summary["releases"], key=lambda one: max(one["promoted_at"], default=""))

    assert last["release"] > 1
    assert f"release {last['release']}" in deployment.recsys("status").stdout


def test_the_summary_is_complete(deployment, summary):
    week = summary["quality"][FIRST]

    assert week["households"] > SESSIONS // 2
    for metric in ("ndcg_at_10", "recall_at_10"):
        assert {"live", "frozen", "difference", "interval"} == set(week[metric])
    assert summary["business"][SECOND]["conversion"] > 0
    assert summary["control"]["days"] > 0
    assert summary["control"]["triggers"] == 0
    assert len(summary["shocks"]) == 7
    assert (deployment.home / "replay/replay.png").stat().st_size > 10_000


def test_done_again_it_repeats_no_day(deployment, summary):
    again = deployment.run(TWO_DAYS, **SETTINGS)

    assert again.returncode == 0, again.stdout + again.stderr
    assert days_told(again.stdout) == []


def test_days_beyond_the_recorded_ones_are_refused(deployment):
    refused = deployment.run([*REPLAY, "--days", "4"], **SETTINGS)

    assert refused.returncode == 1
    assert "replay at most 3 days" in refused.stderr
