import dagster as dg
import pytest

from recsys_assets_tests.models_environment import ITEMS

pytestmark = pytest.mark.integration


def test_every_artifact_is_published(trained_shop):
    store, result = trained_shop.store, trained_shop.result

    assert {
        event.asset_key.to_user_string() for event in result.get_asset_materialization_events()
    } == {
        "two_tower",
        "item_embeddings",
        "item_index",
        "dlrm",
    }
    assert all(store.artifact(name).current() for name in ("two_tower", "item_embeddings", "dlrm"))


def test_each_epoch_is_an_observation_of_its_asset(trained_shop):
    for name in ("two_tower", "dlrm"):
        records = trained_shop.instance.fetch_observations(dg.AssetKey(name), limit=10).records
        losses = [r.asset_observation.metadata["loss"].value for r in reversed(records)]
        assert len(losses) == 3
        assert losses[-1] < losses[0]


def test_metadata_is_worth_opening(trained_shop):
    result = trained_shop.result
    metadata = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }

    assert "data:image/png" in metadata["two_tower"]["learning_curves"].value
    assert "data:image/png" in metadata["dlrm"]["calibration"].value
    assert metadata["item_index"]["recall_at_100"].value >= 0.98
    assert metadata["item_embeddings"]["dagster/row_count"].value == ITEMS


def test_checks_that_do_not_depend_on_quality_pass(trained_shop):
    result = trained_shop.result
    passed = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}

    assert passed["two_tower_weights_are_finite"]
    assert passed["item_embeddings_are_sound"]
    assert passed["item_index_finds_the_nearest"]
    assert passed["dlrm_weights_are_finite"]
