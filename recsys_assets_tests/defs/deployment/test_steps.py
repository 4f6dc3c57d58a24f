"""Every step of the graph has a pod that fits its work, by what its asset declares."""

import dagster as dg
import pytest
from kubernetes.utils.quantity import parse_quantity

from recsys_assets.definitions import defs
from recsys_assets.defs.deployment import steps
from recsys_assets.defs.deployment.steps import PODS, Work, work_by_step, work_of
from recsys_assets_tests.defs.deployment import eks

WORK = work_by_step([*defs.assets, *defs.asset_checks])
JOBS = [job.name for job in defs.jobs]


def step_names(job):
    return {node.name for node in defs.resolve_job_def(job).nodes}


def test_every_step_of_every_job_has_a_class():
    of_assets = set().union(*map(step_names, JOBS)) - {
        "rollback",
        "clean_store",
        "drain_stream",
    }  # an op of its own is light

    assert of_assets <= set(WORK)


def test_every_class_belongs_to_a_step_that_there_is():
    graph = defs.get_repository_def().assets_defs_by_key
    checks = defs.get_repository_def().asset_checks_defs_by_key
    there_are = {each.op.name for each in [*graph.values(), *checks.values()] if each.is_executable}

    assert set(WORK) == there_are
    assert there_are >= steps._HUNGRY


@pytest.mark.parametrize(
    ("step", "work"),
    [
        ("user_features", Work.SPARK),
        ("item_features", Work.SPARK),
        ("item_first_sold", Work.SPARK),
        ("training_examples", Work.MEMORY),
        ("daily_examples", Work.MEMORY),
        ("evaluation", Work.MEMORY),
        ("baselines", Work.MEMORY),
        ("item_index", Work.MEMORY),
        ("release_candidate", Work.MEMORY),
        ("refreshed_release", Work.MEMORY),
        ("two_tower", Work.TRAIN),
        ("finetuned_query_tower", Work.TRAIN),
        ("retrained_dlrm", Work.TRAIN),
        ("index_tuning", Work.TRAIN),
        ("ingest_interactions", Work.LIGHT),
        ("promoted_release", Work.LIGHT),
        ("user_features_user_features_in_range", Work.LIGHT),
    ],
)
def test_a_step_is_classed_by_what_it_does(step, work):
    assert WORK[step] is work


def test_a_new_asset_needs_no_entry():
    @dg.asset(kinds={"spark", "parquet"})
    def basket_features(): ...

    @dg.multi_asset(specs=[dg.AssetSpec("left", kinds={"faiss"}), dg.AssetSpec("right")])
    def halves(): ...

    @dg.asset(kinds={"tensorflow"}, required_resource_keys={"models"})
    def reranker(): ...

    assert work_by_step([basket_features, halves, reranker]) == {
        "basket_features": Work.SPARK,
        "halves": Work.MEMORY,
        "reranker": Work.TRAIN,
    }
    assert work_of(dg.asset(lambda: None, name="plain")) is Work.LIGHT


@pytest.mark.parametrize("work", Work)
def test_nothing_asks_for_more_than_it_may_take(work):
    resources = PODS[work].k8s_config()["container_config"]["resources"]

    assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}
    for name, asked in resources["requests"].items():
        assert 0 < parse_quantity(asked) <= parse_quantity(resources["limits"][name])


def test_measured_memory_fits():
    def asks_for(work):
        return parse_quantity(PODS[work].memory[0])

    assert asks_for(Work.MEMORY) > 5.2e9
    assert asks_for(Work.SPARK) > 1.1 * 3 * 2**30


def test_only_who_starts_pods_gets_a_token():
    with_token = {work for work in Work if PODS[work].starts_pods}

    assert with_token == {Work.SPARK, Work.TRAIN}


@pytest.mark.parametrize("job", JOBS)
def test_steps_hand_nothing_to_each_other_but_through_the_store(job):
    """What lies in one pod cannot be read in another."""
    for node in eks.defs.resolve_job_def(job).nodes:
        for each in node.definition.input_defs:
            assert each.dagster_type.is_nothing
