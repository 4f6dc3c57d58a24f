"""The serving assets as Dagster runs them, over real services and artifacts in their formats."""

import shutil

import dagster as dg
import pytest

from recsys_assets.resources import RunDays, StoreResource
from recsys_assets.serving.assets import promoted_release, seen_items, triton_model_repository
from recsys_assets.serving.checks import canary_answers
from recsys_assets.serving.client import recommend
from recsys_assets.serving.resources import ServingResource
from recsys_assets.storage import Store
from recsys_assets_tests.serving.test_whole_path import AT, BOUGHT, write_tables
from recsys_assets_tests.serving.untrained_models import publish_untrained_models

pytestmark = pytest.mark.integration

ASSETS = [seen_items, triton_model_repository, canary_answers, promoted_release]


def materialize(settings, **options):
    return dg.materialize(
        ASSETS,
        resources={
            "store": StoreResource(url=settings.storage_url),
            "serving": ServingResource.from_settings(settings),
            "run_days": RunDays.from_settings(settings),
        },
        **options,
    )


@pytest.fixture(scope="module")
def artifacts(running):
    store = Store(running.storage_url)
    write_tables(store)
    publish_untrained_models(store, "2017-09-30", running.models_python)


def test_a_release_is_rendered_checked_and_promoted(running, artifacts):
    result = materialize(running)
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    assert check.metadata["requests"].value == 15
    (rendered,) = result.asset_materializations_for_node("triton_model_repository")
    assert rendered.metadata["artifacts"].value.keys() >= {"two_tower", "dlrm"}
    assert "query_tower.onnx" in rendered.metadata["files"].value
    (filled,) = result.asset_materializations_for_node("seen_items")
    assert (filled.metadata["users"].value, filled.metadata["pairs"].value) == (1, 40)
    answer = recommend(running, "ann", AT)
    assert answer.release == rendered.metadata["release"].value
    assert not set(answer.item_ids) & set(BOUGHT)


def test_a_release_whose_canaries_fail_is_not_promoted(running, artifacts):
    served = recommend(running, "ann", AT).release
    store = Store(running.storage_url)
    with store.artifact("dlrm").new_version() as draft:
        shutil.copytree(store.artifact("dlrm").fetch(), draft.path, dirs_exist_ok=True)
        (draft.path / "ranker.onnx").write_bytes(b"not a model")
    result = materialize(running, raise_on_error=False)
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert "cannot be served" in check.metadata["findings"].value
    assert not result.asset_materializations_for_node("promoted_release")
    assert recommend(running, "ann", AT).release == served
