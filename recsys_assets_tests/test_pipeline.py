"""The whole path as a user runs it: `recsys demo` over a small live shop, on real services.

Of live data only what is over is known: the models are measured on the last days before today, and
the first release knows these too. Then the job that a drift sensor starts, on the evening of a
later day.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from recsys_assets.releases.release import Releases
from recsys_assets.storage import Store
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.shop import write_shop

pytestmark = [pytest.mark.integration, pytest.mark.timeout(7200)]

RECSYS = [sys.executable, "-c", "from recsys_assets.cli import main; main()"]
GRAPH = ("-m", "recsys_assets.definitions")
TRAINING = "recsys_assets.models.two_tower_training"
# Every shape of line that the demo may show; whatever else there is comes from a library.
OURS = (
    r"recsys demo: .*",
    r"\[( ?\d+/\d+ +\d+ % )? *\d+ s\] (started|running already): Triton, Valkey",
    r"\[( ?\d+/\d+ +\d+ % )? *\d+ s\] still at .*, \d+ s",
    r"\[ ?\d+/\d+ +\d+ % +\d+ s\] {step}: .*",
    r"waiting for .*: \d+ s",  # said of what takes more than ten seconds, on a slow machine
    r"plan: .*",
    r"  {step} \d+ %(, {step} \d+ %)*",
    r"\d+ assets are up to date: .*",
    r" *(for |the week after).*",  # titles of tables
    r"[┏┡└┃│].*",
    r"(latency of|features served against|next: |all figures: ).*",
)
METRICS = {"recall@10", "recall@100", "ndcg@10", "coverage@10"}
TODAY, EVENING = "2025-02-26", "2025-03-03"
# What a day brings: the fine-tune learns from the days since today, and is judged on the newest.
DAILY = (
    "interactions,quarantined_interactions,item_first_sold,user_features,item_features,"
    "daily_examples"
)
TUNING = {
    # A machine that does other things too is no reason to refuse a candidate here.
    "resources": {"gate": {"config": {"attribution_hours": 24, "max_p50_ms": 10000.0}}},
    "ops": {"finetuned_dlrm": {"config": {"recent_examples": 10000, "replay_examples": 10000}}},
}


def variables(folder, today):
    """Settings of a deployment of its own over the shop in a folder."""
    ports = [free_port() for _ in range(4)]
    return os.environ | {
        "RECSYS_HOME": str(folder / "home"),
        "RECSYS_SOURCE": "parquet",
        "RECSYS_SOURCE_URL": str(folder / "shop"),
        "RECSYS_FIRST_DAY": "2025-01-01",
        "RECSYS_TODAY": today,
        "RECSYS_ONLINE_STORE_URL": f"redis://127.0.0.1:{ports[0]}/0",
        "RECSYS_TRITON_HTTP": f"127.0.0.1:{ports[1]}",
        "RECSYS_TRITON_GRPC": f"127.0.0.1:{ports[2]}",
        "RECSYS_TRITON_METRICS": f"127.0.0.1:{ports[3]}",
    }


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A deployment over a shop; its services are stopped at the end."""
    folder = tmp_path_factory.mktemp("pipeline")
    write_shop(folder / "shop")
    settings = variables(folder, TODAY)
    yield settings
    recsys(settings, "down")


@pytest.fixture
def broken(tmp_path):
    """A deployment over a few days of a shop whose catalogue is no Parquet file."""
    write_shop(tmp_path / "shop", users=9, items=9, days=9)
    (tmp_path / "shop/items.parquet").write_text("item_id,text")
    settings = variables(tmp_path, "2025-01-17")
    yield settings
    recsys(settings, "down")


def recsys(environment, *arguments):
    return subprocess.run(
        [*RECSYS, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def dagster(environment, *arguments):
    home = str(Path(environment["RECSYS_HOME"]) / "dagster")
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "dagster", *arguments],
        env=environment | {"DAGSTER_HOME": home},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def materialize(environment, selection, *arguments):
    return dagster(environment, "asset", "materialize", "--select", selection, *GRAPH, *arguments)


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
def stopped(environment, interrupted):
    """The pipeline, started again and interrupted while it trains, as Ctrl-C does it."""
    process = subprocess.Popen(
        [*RECSYS, "demo"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "two_tower: started" in line:
            training_of(process.pid)
            os.killpg(process.pid, signal.SIGINT)
    process.wait()
    left = {pid: command for pid, command in commands().items() if session(pid) == process.pid}
    return process.returncode, lines, left


def training_of(pid):
    """Waits until a command has started a training."""
    while not any(
        TRAINING in command and session(child) == pid for child, command in commands().items()
    ):
        time.sleep(0.1)


def commands():
    """Words of every process that has not ended, by pid."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            found[process.pid] = process.cmdline()
    return found


def session(pid):
    """The session of a process, None if it has ended."""
    with suppress(ProcessLookupError):
        return os.getsid(pid)


@pytest.fixture(scope="module")
def finished(environment, stopped):
    """The same pipeline, started a third time."""
    return recsys(environment, "demo")


@pytest.fixture(scope="module")
def summary(environment, finished):
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return json.loads((Path(environment["RECSYS_HOME"]) / "demo/summary.json").read_text())


def test_a_killed_pipeline_goes_on_where_it_was(interrupted, finished, summary):
    assert "ingest_interactions: done" in interrupted
    assert "ingest_interactions: started" not in finished.stdout
    (reused,) = [line for line in finished.stdout.splitlines() if "are up to date:" in line]
    assert " interactions," in reused
    assert "two_tower: done" in finished.stdout


def test_an_interrupt_ends_what_the_command_has_started_and_nothing_else(stopped, finished):
    code, lines, left = stopped

    assert (code, left) == (130, {})
    assert "] stopped: " in lines[-2]  # what had not ended by Ctrl-C itself
    assert "goes on from there" in lines[-1]
    assert "running already: Triton, Valkey" in finished.stdout


def test_every_line_of_the_demo_is_ours(stopped, finished):
    assert finished.stderr == ""
    shapes = [re.compile(shape.replace("{step}", "[a-z0-9_]+")) for shape in OURS]
    lines = [*finished.stdout.splitlines(), *(line.rstrip("\n") for line in stopped[1][:-3])]

    foreign = [line for line in lines if line and not any(s.fullmatch(line) for s in shapes)]

    assert foreign == []


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


@pytest.fixture(scope="module")
def newest(releases, summary):
    """The newest day of each table when the first release goes live."""
    tables = ("interactions", "user_features", "item_features")
    return {table: releases.store.table(table).days()[-1] for table in tables}


def test_the_first_release_learns_before_the_days_it_is_measured_on_and_knows_them_too(
    releases, newest
):
    manifest, tables = releases.manifest(1), releases.store
    examples = tables.table("training_examples").read(columns=["timestamp", "split"])
    splits = examples.group_by("split").aggregate([("timestamp", "min"), ("timestamp", "max")])
    spans = {
        row["split"]: (str(row["timestamp_min"].date()), str(row["timestamp_max"].date()))
        for row in splits.to_pylist()
    }

    assert manifest["trained_through"] == spans["validation"][1] == "2025-02-18"
    assert manifest["item_features_day"] == "2025-02-25"
    assert spans["held_out"] == ("2025-02-19", "2025-02-25")
    assert set(newest.values()) == {"2025-02-25"}


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


@pytest.fixture(scope="module")
def again(environment, summary):
    """The same pipeline, once more."""
    return recsys(environment, "demo")


def test_run_again_it_reuses_what_is_up_to_date(again):
    assert again.returncode == 0, again.stdout + again.stderr
    assert "plan: nothing to make" in again.stdout
    assert "29 assets are up to date: baselines, boosted_ranker," in again.stdout
    assert "running already: Triton, Valkey" in again.stdout


def test_a_demo_that_fails_ends_with_the_cause_and_the_remedy(broken):
    failed = recsys(broken, "demo")

    assert failed.returncode == 1
    cause, *_, not_run, remedy = failed.stderr.splitlines()
    assert cause.startswith("Error: ingest_items failed: ")
    assert "items.parquet" in cause
    assert "steps that need it were not run" in not_run
    assert remedy.startswith("`recsys demo` goes on from there once that is mended")
    assert failed.stdout.count("not executed") == 0


def test_status_tells_the_release_and_the_health(environment, releases, summary):
    shown = recsys(environment, "status").stdout

    assert "Valkey" in shown
    assert f"release {releases.promoted().release}" in shown
    assert shown.count("healthy") == 2


def test_context_changes_what_an_anonymous_visitor_sees(environment, summary):
    morning, night = (
        recsys(environment, "recommend", "--at", f"2025-02-26T{hour}:00:00").stdout
        for hour in ("08", "23")
    )

    assert "release " in morning
    assert morning != night


def test_an_absurd_k_is_refused_with_the_reason(environment, summary):
    refused = recsys(environment, "recommend", "--user", "user-1", "--k", "100000")

    assert refused.returncode == 1
    assert "k" in refused.stderr
    assert "100000" in refused.stderr


@pytest.fixture(scope="module")
def releases(environment):
    return Releases(Store(f"file://{environment['RECSYS_HOME']}/storage"))


@pytest.fixture(scope="module")
def fine_tuned(environment, newest, again):
    """The run of `fine_tune` for an evening, after the days since the first release."""
    days = f"{TODAY}...2025-03-04"
    learned = materialize(environment, DAILY, "--partition-range", days)
    assert learned.returncode == 0, learned.stderr
    tags = json.dumps({"dagster/partition": EVENING, "recsys/why": "prices rose"})
    config = Path(environment["RECSYS_HOME"]).parent / "fine_tune.json"
    config.write_text(json.dumps(TUNING))
    job = ("-j", "fine_tune", "--tags", tags, "-c", str(config))
    return dagster(environment, "job", "execute", *GRAPH, *job)


def assert_answers(environment, release):
    shown = recsys(environment, "recommend", "--user", "user-1", "--at", "2025-03-04T12:00:00")
    assert f"release {release}" in shown.stdout, shown.stderr


def test_a_fine_tune_is_a_release_of_new_models_over_all_that_is_known(fine_tuned, releases):
    manifest = releases.manifest(2)

    assert (manifest["base_release"], manifest["cause"]) == (1, "prices rose")
    assert manifest["trained_through"] == "2025-02-27"
    assert manifest["item_features_day"] == EVENING


def test_a_fine_tune_is_promoted_if_it_is_better_and_else_kept_with_the_reason(
    environment, fine_tuned, releases
):
    reason, live = releases.rejection(2), releases.promoted()
    listed = recsys(environment, "releases").stdout

    if reason is None:
        assert fine_tuned.returncode == 0, fine_tuned.stderr
        assert (live.release, live.previous, live.cause) == (2, 1, "prices rose")
    else:
        assert fine_tuned.returncode != 0
        assert live.release == 1
        assert f"rejected: {reason}" in listed
    assert f"*  {live.release}" in listed
    assert_answers(environment, live.release)


def test_what_is_not_better_is_blocked_and_kept_with_the_reason(environment, fine_tuned, releases):
    live = releases.promoted().release
    # Either the same models failed before, or they are live and would be held against themselves.
    again = materialize(environment, "release_candidate,promoted_release", "--partition", EVENING)

    assert again.returncode != 0
    assert "beats_live" in again.stderr
    assert releases.rejection(3)
    assert f"rejected: {releases.rejection(3)}" in recsys(environment, "releases").stdout
    assert releases.promoted().release == live
    assert_answers(environment, live)


def test_a_corrupted_model_is_refused_by_name_and_the_live_release_answers(
    environment, fine_tuned, releases
):
    live, numbers = releases.promoted().release, releases.numbers()
    model = releases.store.artifact(f"finetuned_dlrm/{EVENING}").fetch() / "ranker.onnx"
    sound = model.read_bytes()
    model.write_bytes(sound[:20_000])

    refused = materialize(environment, "release_candidate,promoted_release", "--partition", EVENING)
    model.write_bytes(sound)

    assert refused.returncode != 0
    assert f"{model} failed" in refused.stderr
    assert releases.numbers() == numbers
    assert releases.promoted().release == live
    assert_answers(environment, live)
