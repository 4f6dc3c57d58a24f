"""What a run is expected to take: as its last time here, else as measured."""

import dagster as dg
import pytest

from recsys_assets.definitions import build_definitions
from recsys_assets.defs.graph.jobs import initial_pipeline
from recsys_assets.defs.runs.narrated_run import MACHINE, MEASURED, Expected, expect, plan_of
from recsys_assets.settings import SOURCES, load_settings

TAGS = {"recsys/source": "movielens_100k"}


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(scope="module")
def definitions():
    return build_definitions(load_settings({}))


def doing_nothing(name):
    @dg.op(name=name)
    def step() -> None:
        return None

    return step


def run(instance, tags, steps=("dlrm",)):
    @dg.job(executor_def=dg.in_process_executor)
    def trainings() -> None:
        for step in steps:
            doing_nothing(step)()

    trainings.execute_in_process(instance=instance, tags=tags)


def test_a_step_is_expected_to_take_what_it_took_under_the_same_settings(instance):
    run(instance, TAGS)

    seconds = expect(instance, "movielens_100k", TAGS).seconds

    assert seconds["dlrm"] != MEASURED["movielens_100k"]["dlrm"]
    assert seconds["two_tower"] == MEASURED["movielens_100k"]["two_tower"]


def test_what_other_settings_took_does_not_count(instance):
    run(instance, {"recsys/source": "parquet"})

    expected = expect(instance, "movielens_100k", TAGS)

    assert expected == Expected(MEASURED["movielens_100k"], f"on {MACHINE}")


def test_the_basis_is_here_once_all_that_takes_long_has_run(instance):
    run(instance, TAGS, MEASURED["movielens_100k"])

    assert expect(instance, "movielens_100k", TAGS).basis == "here the last time"


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_has_figures_of_steps_that_exist(instance, definitions, source):
    names = {node.name for node in definitions.resolve_job_def(initial_pipeline.name).nodes}

    seconds = expect(instance, source, {}).seconds

    assert seconds["two_tower"] > 0
    assert set(seconds) <= names


def test_the_plan_has_each_step_once_and_what_is_reused(definitions):
    order = ["ingest_interactions", "two_tower", "dlrm"]
    keys = ["interactions", "quarantined_interactions", "two_tower", "dlrm"]
    selection = [dg.AssetKey(key) for key in keys]

    job = definitions.resolve_job_def(initial_pipeline.name)
    plan = plan_of(job, selection, Expected({"dlrm": 60.0}, ""))

    assert plan.steps == order
    assert plan.seconds["dlrm"] == 60.0
    assert "dlrm_dlrm_loss_decreased" in plan.checks
    assert "item_index" in plan.reused
    assert "dlrm" not in plan.reused
