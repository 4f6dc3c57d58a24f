"""Where the steps of a run are executed."""

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.executor.in_process import InProcessExecutor

from recsys_assets.defs.deployment.steps import Work
from recsys_assets.defs.deployment.table import in_pods
from recsys_assets_tests.defs.deployment import eks

REPOSITORY = ReconstructableRepository.for_module(eks.__name__, "defs")


def executor_of(job, assets=None, work=eks.WORK):
    """What a run of a job, or of some of its assets, is executed by."""
    of_run = ReconstructableJob(REPOSITORY, job).get_subset(
        asset_selection=assets and {dg.AssetKey(name) for name in assets}
    )
    definition = in_pods(work)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.InitExecutorContext(of_run, definition, {"max_concurrent": 4}, instance)
        return definition.executor_creation_fn(context)


@pytest.mark.parametrize(
    ("job", "assets"),
    [
        ("rollback_release", None),
        ("initial_pipeline", ["promoted_release"]),
        (
            "initial_pipeline",
            ["items", "catalogue_history", "quarantined_items", "user_attributes"],
        ),
    ],
)
def test_a_run_of_light_steps_stays_in_its_pod(job, assets):
    assert isinstance(executor_of(job, assets), InProcessExecutor)


@pytest.mark.parametrize("work", [Work.MEMORY, Work.SPARK, Work.TRAIN])
def test_one_heavy_step_gives_each_its_own_pod(work, monkeypatch):
    created = []
    monkeypatch.setattr(
        "dagster_k8s.k8s_job_executor",
        dg.ExecutorDefinition(
            "k8s", executor_creation_fn=lambda context: created.append(context.executor_config)
        ),
    )

    executor_of(
        "initial_pipeline", ["item_attributes", "user_attributes"], {"item_attributes": work}
    )

    (config,) = created
    assert list(config["per_step_k8s_config"]) == ["item_attributes"]
    assert config["max_concurrent"] == 4
    assert config["enable_owner_references"]


def test_a_configuration_that_the_executor_does_not_know_is_refused(monkeypatch):
    """As after an upgrade of dagster-k8s that names things anew."""
    strict = dg.ExecutorDefinition(
        "k8s", config_schema={"pods": int}, executor_creation_fn=lambda _: None
    )
    monkeypatch.setattr("dagster_k8s.k8s_job_executor", strict)

    with pytest.raises(dg.DagsterInvalidConfigError, match="executor k8s refuses"):
        executor_of("initial_pipeline", ["item_attributes"], {"item_attributes": Work.SPARK})
