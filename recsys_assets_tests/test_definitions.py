"""The graph as a whole: what a change of it shows in review."""

import json
import os
import re
import subprocess
import sys

import dagster as dg
import pytest

from recsys_assets.definitions import defs
from recsys_assets.defs.graph.serving.checks import canary_answers
from recsys_assets_tests.defs.deployment import eks

# The last ones speak to a cluster or to S3.
HEAVY = (
    "tensorflow",
    "pyspark",
    "feast",
    "evidently",
    "kubernetes",
    "dagster_k8s",
    "dagster_aws",
    "boto3",
)
# Audit events of a process that speaks to another machine.
SPEAKS = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
    "socket.sendmsg",
)
GRAPH = defs.resolve_asset_graph()
KEYS = sorted(GRAPH.materializable_asset_keys)
TABLES = {
    "interactions",
    "quarantined_interactions",
    "items",
    "catalogue_history",
    "users",
    "promotions",
    "user_features",
    "item_features",
    "training_examples",
    "item_text_embeddings",
    "item_image_embeddings",
    "evaluation",
    "daily_examples",
    "request_log",
    "outcomes",
}
# Tell a person and stop nothing; what is found by any other check is used by nobody.
WARNINGS = {
    "days_have_events",
    "interactions_are_fresh",
    "no_late_deliveries",
    "volume_is_usual",
    "items_have_texts",
    "item_images_are_usable",
    "two_tower_loss_decreased",
    "dlrm_loss_decreased",
    "dlrm_is_better_than_popularity",
    "boosted_ranker_has_trees",
    "better_than_every_baseline",
    "better_than_every_baseline_each_week",
    "offline_equals_online of online_refresh",  # the values are sent by then
}


ON_IMPORT = f"""
import json, os, sys
found = []
sys.addaudithook(lambda event, _: found.append(event) if event in {SPEAKS!r} else None)
if os.environ.get("ALSO_SPEAK"):
    import socket
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("127.0.0.1", 9))
import recsys_assets.definitions
print(json.dumps([found, [name for name in {HEAVY!r} if name in sys.modules]]))
"""
NO_AWS = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9",
}


def spoken_and_loaded(environment):
    """Audit events and heavy modules of a new process that loads the definitions.

    It has no credentials, and nothing answers where AWS would.
    """
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ON_IMPORT],
        capture_output=True,
        text=True,
        check=True,
        env={**keep, **NO_AWS, **environment},
    )
    return json.loads(shown.stdout)


@pytest.mark.parametrize("environment", [{}, eks.ENVIRONMENT], ids=["local", "eks"])
def test_importing_the_definitions_loads_nothing_heavy_and_asks_nobody(environment):
    assert spoken_and_loaded(environment) == [[], []]


def test_asking_somebody_on_import_would_be_seen():
    assert spoken_and_loaded({"ALSO_SPEAK": "1"}) == [["socket.connect"], []]


def test_the_definitions_can_be_loaded():
    dg.Definitions.validate_loadable(defs)


@pytest.mark.parametrize("key", KEYS, ids=dg.AssetKey.to_user_string)
def test_every_asset_says_what_it_is(key):
    node = GRAPH.get(key)

    assert node.description
    assert node.group_name != "default"
    assert node.owners
    assert node.kinds
    assert re.fullmatch("[0-9a-f]{12}", node.code_version)  # of what it computes


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_has_columns(name):
    metadata = GRAPH.get(dg.AssetKey(name)).metadata

    assert metadata["dagster/column_schema"]


def test_partitions_are_backfilled_in_one_run_but_trainings_in_one_each():
    for key in KEYS:
        node = GRAPH.get(key)
        if node.partitions_def is not None:
            alone = node.group_name == "retraining"
            policy = dg.BackfillPolicy
            assert node.backfill_policy == (policy.multi_run(1) if alone else policy.single_run())


def test_a_stage_folder_is_a_group():
    groups = {GRAPH.get(key).group_name for key in KEYS}

    assert groups == {
        "events",
        "features",
        "content",
        "retrieval",
        "ranking",
        "evaluation",
        "serving",
        "monitoring",
        "retraining",
    }


def test_the_jobs_are_known():
    assert {job.name for job in defs.jobs} == {
        "initial_pipeline",
        "daily_loop",
        "correct_days",
        "fine_tune",
        "full_retrain",
        "refresh_release",
        "retention",
        "rollback_release",
        "drain_answers",
        "late_answers",
    }


def test_every_sensor_runs_without_being_switched_on():
    assert {sensor.name: sensor.default_status for sensor in defs.sensors} == dict.fromkeys(
        (
            "closed_day_sensor",
            "corrected_days_sensor",
            "answers_sensor",
            "late_answers_sensor",
            "drift_sensor",
            "business_sensor",
            "business_guard",
            "retrain_sensor",
            "refresh_sensor",
            "passed_over_sensor",
            "run_failure_alert",
        ),
        dg.DefaultSensorStatus.RUNNING,
    )


def test_every_sensor_starts_a_job_that_there_is():
    jobs = {job.name for job in defs.jobs}

    assert {target.job_name for sensor in defs.sensors for target in sensor.targets} <= jobs


def keys_of(job):
    return defs.resolve_job_def(job).asset_layer.selected_asset_keys


def groups_of(job):
    return {GRAPH.get(key).group_name for key in keys_of(job)}


def test_a_first_start_neither_measures_nor_retrains():
    assert not {"monitoring", "retraining"} & groups_of("initial_pipeline")
    assert dg.AssetKey("promoted_release") in keys_of("initial_pipeline")


def test_a_day_is_measured_and_trains_nothing():
    assert {"monitoring", "events", "features", "content"} <= groups_of("daily_loop")
    assert not {"retraining", "retrieval", "ranking"} & groups_of("daily_loop")
    assert dg.AssetKey("promoted_release") not in keys_of("daily_loop")


def test_the_online_store_has_one_writer_at_a_time():
    writers = {
        key.to_user_string() for key in KEYS if GRAPH.get(key).assets_def.op.pool == "online_store"
    }

    assert writers == {"online_features", "online_refresh", "seen_items"}


def test_days_are_worked_on_by_one_run_at_a_time():
    for job in ("daily_loop", "correct_days"):
        assert defs.resolve_job_def(job).tags["recsys/works_on_days"] == "1"


@pytest.mark.parametrize(
    ("job", "trained"),
    [
        ("fine_tune", {"finetuned_query_tower", "finetuned_dlrm"}),
        ("full_retrain", {"retrained_two_tower", "retrained_dlrm", "retrained_boosted_ranker"}),
    ],
)
def test_a_training_ends_in_the_gate_and_the_promotion(job, trained):
    names = {key.to_user_string() for key in keys_of(job)}

    assert names == trained | {"item_text_embeddings", "release_candidate", "promoted_release"}
    assert defs.resolve_job_def(job).tags["recsys/trains"] == "1"


def test_a_refresh_trains_nothing():
    names = {key.to_user_string() for key in keys_of("refresh_release")}

    assert names == {"item_text_embeddings", "refreshed_release", "promoted_release"}
    assert "recsys/trains" not in defs.resolve_job_def("refresh_release").tags


def test_what_is_served_before_it_is_live_takes_turns():
    steps = [defs.resolve_assets_def(key) for key in ("release_candidate", "refreshed_release")]

    assert {step.op.pool for step in [*steps, canary_answers]} == {"canary"}


def test_every_check_blocks_but_those_that_are_known_to_warn():
    def shown(check):
        of_refresh = check.asset_key.to_user_string() == "online_refresh"
        return f"{check.name} of online_refresh" if of_refresh else check.name

    warns = {shown(check) for check in GRAPH.asset_check_keys if not GRAPH.get(check).blocking}

    assert warns == WARNINGS
