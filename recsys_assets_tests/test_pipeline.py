"""The whole path as a user runs it: `recsys demo` over a small shop, on real services."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.shop import write_shop

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

RECSYS = [sys.executable, "-W", "ignore", "-c", "from recsys_assets.cli import main; main()"]
METRICS = {"recall@10", "recall@100", "ndcg@10", "coverage@10"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A deployment of its own over a shop of its own; its services are stopped at the end."""
    folder = tmp_path_factory.mktemp("pipeline")
    write_shop(folder / "shop")
    ports = [free_port() for _ in range(4)]
    variables = os.environ | {
        "RECSYS_HOME": str(folder / "home"),
        "RECSYS_SOURCE": "parquet",
        "RECSYS_SOURCE_URL": str(folder / "shop"),
        "RECSYS_FIRST_DAY": "2025-01-01",
        "RECSYS_LAST_DAY": "2025-03-04",
        "RECSYS_TODAY": "2025-02-26",
        "RECSYS_ONLINE_STORE_URL": f"redis://127.0.0.1:{ports[0]}/0",
        "RECSYS_TRITON_HTTP": f"127.0.0.1:{ports[1]}",
        "RECSYS_TRITON_GRPC": f"127.0.0.1:{ports[2]}",
        "RECSYS_TRITON_METRICS": f"127.0.0.1:{ports[3]}",
    }
    yield variables
    recsys(variables, "down")


def recsys(environment, *arguments):
    return subprocess.run(
        [*RECSYS, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def interrupted(environment):
    """The pipeline, killed with SIGKILL while it computes features."""
    log = Path(environment["RECSYS_HOME"]).parent / "first.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*RECSYS, "demo"], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        while "user_features: started" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return log.read_text()


@pytest.fixture(scope="module")
def finished(environment, interrupted):
    """The same pipeline, started again."""
    return recsys(environment, "demo")


@pytest.fixture(scope="module")
def summary(environment, finished):
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return json.loads((Path(environment["RECSYS_HOME"]) / "demo/summary.json").read_text())


def test_a_killed_pipeline_goes_on_where_it_was(interrupted, finished, summary):
    assert "ingest_interactions: done" in interrupted
    (plan,) = [line for line in finished.stdout.splitlines() if "to materialize:" in line]
    assert "user_features" in plan
    assert " interactions," not in plan


def test_the_summary_has_all_figures(summary):
    assert {"popularity", "item_knn", "als", "ease", "two_tower", "two_stage"} <= set(
        summary["evaluation"]
    )
    for figures in summary["evaluation"].values():
        assert set(figures) == METRICS
        assert all(0 <= value <= 1 for value in figures.values())
    assert summary["index_recall_at_100"] >= 0.98
    assert summary["parity"]["compared"] > 1000
    assert summary["parity"]["different"] == 0
    assert summary["serving"]["requests"] > 0
    assert summary["serving"]["p50_ms"] <= summary["serving"]["p99_ms"]
    assert summary["rows"]["training_examples"] > 1000
    assert summary["rows"]["interactions"] > summary["rows"]["training_examples"]
    assert summary["durations_s"]["two_tower"] > 0
    assert summary["versions"]["dagster"]


def test_every_visitor_is_answered(summary):
    slates = summary["recommendations"]

    assert [slate["kind"] for slate in slates] == ["known"] * 5 + ["unseen", "anonymous"]
    for slate in slates:
        assert len({item["item_id"] for item in slate["items"]}) == 10
        assert not slate["degraded"]
        assert slate["release"] == 1


def test_the_two_stages_beat_popularity(summary):
    ours, popularity = (summary["evaluation"][name] for name in ("two_stage", "popularity"))

    assert ours["ndcg@10"] > popularity["ndcg@10"]


def test_run_again_it_reuses_what_is_up_to_date(environment, summary):
    again = recsys(environment, "demo")

    assert again.returncode == 0, again.stdout + again.stderr
    assert "every asset is up to date" in again.stdout


def test_status_tells_the_release_and_the_health(environment, summary):
    shown = recsys(environment, "status").stdout

    assert "Valkey" in shown
    assert "release 1" in shown
    assert shown.count("healthy") == 2


def test_context_changes_what_an_anonymous_visitor_sees(environment, summary):
    morning, night = (
        recsys(environment, "recommend", "--at", f"2025-02-26T{hour}:00:00").stdout
        for hour in ("08", "23")
    )

    assert "release 1" in morning
    assert morning != night


def test_an_absurd_k_is_refused_with_the_reason(environment, summary):
    refused = recsys(environment, "recommend", "--user", "user-1", "--k", "100000")

    assert refused.returncode == 1
    assert "k" in refused.stderr
    assert "100000" in refused.stderr
