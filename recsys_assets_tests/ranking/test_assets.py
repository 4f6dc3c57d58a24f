import dagster as dg
import pytest

from recsys_assets.ranking import assets as ranking
from recsys_assets.ranking import checks as ranking_checks
from recsys_assets.resources import StoreResource
from recsys_assets.retrieval import assets as retrieval
from recsys_assets.retrieval import checks as retrieval_checks
from recsys_assets.retrieval.pipes import ModelsSubprocess
from recsys_assets.retrieval.resources import TrainingSpan, VectorIndex
from recsys_assets.settings import load_settings
from recsys_assets_tests.models_environment import ITEMS, THROUGH, write_store

pytestmark = pytest.mark.integration

CONFIG = {
    "ops": {
        "two_tower": {
            "config": {"epochs": 2, "examples_per_epoch": 512, "batch_size": 64, "id_dim": 8}
        },
        "dlrm": {"config": {"epochs": 2, "positives_per_epoch": 512, "batch_positives": 64}},
    }
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    store = write_store(tmp_path_factory.mktemp("store"))
    instance = dg.DagsterInstance.ephemeral()
    modules = (retrieval, ranking)
    checks = (retrieval_checks, ranking_checks)
    result = dg.materialize(
        [*dg.load_assets_from_modules(modules), *dg.load_asset_checks_from_modules(checks)],
        instance=instance,
        resources={
            "store": StoreResource(url=store.url),
            "models": ModelsSubprocess.from_settings(load_settings()),
            "training_span": TrainingSpan(through=THROUGH),
            "vector_index": VectorIndex(kind="hnsw"),
        },
        run_config=CONFIG,
        raise_on_error=False,
    )
    return store, instance, result


def test_every_artifact_is_published(run):
    store, _, result = run

    assert {
        event.asset_key.to_user_string() for event in result.get_asset_materialization_events()
    } == {
        "two_tower",
        "item_embeddings",
        "item_index",
        "dlrm",
    }
    assert all(store.artifact(name).current() for name in ("two_tower", "item_embeddings", "dlrm"))


def test_each_epoch_is_an_observation_of_its_asset(run):
    _, instance, _ = run

    for name in ("two_tower", "dlrm"):
        records = instance.fetch_observations(dg.AssetKey(name), limit=10).records
        losses = [r.asset_observation.metadata["loss"].value for r in reversed(records)]
        assert len(losses) == 3
        assert losses[-1] < losses[0]


def test_metadata_is_worth_opening(run):
    _, _, result = run
    metadata = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }

    assert "data:image/png" in metadata["two_tower"]["learning_curves"].value
    assert "data:image/png" in metadata["dlrm"]["calibration"].value
    assert metadata["item_index"]["recall_at_100"].value >= 0.98
    assert metadata["item_embeddings"]["dagster/row_count"].value == ITEMS


def test_checks_that_do_not_depend_on_quality_pass(run):
    _, _, result = run
    passed = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}

    assert passed["two_tower_weights_are_finite"]
    assert passed["item_embeddings_are_sound"]
    assert passed["item_index_finds_the_nearest"]
    assert passed["dlrm_weights_are_finite"]
