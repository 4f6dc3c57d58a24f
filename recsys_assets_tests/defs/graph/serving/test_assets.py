"""The serving assets as Dagster runs them, over real services and artifacts in their formats."""

import shutil
from datetime import UTC, datetime

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.defs.graph.retraining.refreshes import refreshed_release
from recsys_assets.defs.graph.serving.assets import (
    promoted_release,
    seen_items,
    triton_model_repository,
)
from recsys_assets.defs.graph.serving.checks import canary_answers
from recsys_assets.defs.resources import RunDays, StoreResource, VectorIndex
from recsys_assets.defs.retraining_resources import CandidateGate
from recsys_assets.defs.serving_resources import ServingResource
from recsys_assets.features.attributes import user_columns
from recsys_assets.features.declarations import ITEM_FEATURES
from recsys_assets.features.reader import OnlineUserFeatures
from recsys_assets.models.training_data import CatalogueSnapshot
from recsys_assets.pipeline.exploration import Exploration
from recsys_assets.releases.offline import Sessions
from recsys_assets.releases.release import Releases
from recsys_assets.releases.rendering import ReleaseParts
from recsys_assets.releases.serving_config import ServingConfig
from recsys_assets.retraining.candidate import (
    WEIGHTS,
    DaySnapshot,
    offline_release,
    served_release,
    serving_parts,
    weights_of,
)
from recsys_assets.storage import Store
from recsys_assets.triton.client import recommend
from recsys_assets_tests.serving.test_whole_path import AT, BOUGHT, DAY, ITEMS, write_tables
from recsys_assets_tests.serving.untrained_models import publish_untrained_models

pytestmark = pytest.mark.integration

NEXT_DAY, NEW = "2017-10-01", "a new item"
CHOSEN = {"popularity_discount": 0.4, "exploration_share": 0.3, "exploration_seed": 5}
ASSETS = [seen_items, triton_model_repository, canary_answers, promoted_release]


def materialize(settings, **options):
    return dg.materialize(
        ASSETS,
        resources={
            "store": StoreResource(url=settings.storage_url),
            "serving": ServingResource.from_settings(settings),
            "run_days": RunDays.from_settings(settings),
        },
        run_config={"ops": {"triton_model_repository": {"config": CHOSEN}}},
        **options,
    )


@pytest.fixture(scope="module")
def artifacts(running):
    store = Store(running.storage_url)
    write_tables(store)
    publish_untrained_models(store, DAY, running.models_python)
    # Those are drawn at random; here they are what the item tower makes, as in a real release.
    weights = ReleaseParts.current(store, {part: part for part in WEIGHTS})
    names = {part: part for part in ("item_embeddings", "item_index")}
    serving_parts(store, weights, CatalogueSnapshot.at(store, DAY), "flat", names)


@pytest.fixture(scope="module")
def first(running, artifacts):
    """The run that has promoted the first release, and its answer to Ann."""
    return materialize(running), recommend(running, "ann", AT)


def test_a_release_is_rendered_checked_and_promoted(first):
    result, answer = first
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    assert check.metadata["requests"].value == 19
    (rendered,) = result.asset_materializations_for_node("triton_model_repository")
    assert rendered.metadata["artifacts"].value.keys() >= {"two_tower", "dlrm"}
    assert "query_tower.onnx" in rendered.metadata["files"].value
    (filled,) = result.asset_materializations_for_node("seen_items")
    assert (filled.metadata["users"].value, filled.metadata["pairs"].value) == (41, 840)
    assert answer.release == rendered.metadata["release"].value
    assert not set(answer.item_ids) & set(BOUGHT)


def test_a_release_whose_canaries_fail_is_not_promoted(running, first):
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


def write_next_day(store):
    """A new item, which has been sold a lot, and a purchase of another one."""
    known_at = pa.array([datetime(2017, 10, 2, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    new = {"item_id": NEW, "text": NEW, "category_l1": "category 1", "category_l2": "category 1"}
    for name, row in {"items": new, "item_text_embeddings": {"embedding": [1.0] * 8}}.items():
        table = store.table(name).read()
        added = pa.Table.from_pylist([{"item_id": NEW, **row}], table.schema)
        store.table(name).write(pa.concat_tables([table, added]))
    activity = {name: [500] for name in ITEM_FEATURES.columns}
    store.table("item_features").write(
        pa.table({"item_id": [NEW], "event_timestamp": known_at, **activity}), NEXT_DAY
    )
    table = store.table("interactions")
    line = table.read([DAY]).slice(0, 1).to_pylist()[0]
    line |= {"user_id": "ann", "item_id": BOUGHT[0], "timestamp": known_at[0].as_py()}
    table.write(pa.Table.from_pylist([line], table.read([DAY]).schema), NEXT_DAY)


def refresh(settings):
    """`refresh_release` of the next day."""
    return dg.materialize(
        [refreshed_release, promoted_release],
        partition_key=NEXT_DAY,
        resources={
            "store": StoreResource(url=settings.storage_url),
            "serving": ServingResource.from_settings(settings),
            "vector_index": VectorIndex(kind="flat"),
            "gate": CandidateGate(attribution_hours=24, max_p50_ms=10_000.0),
        },
    )


def sessions(store, count=20):
    """Requests of strangers and of known customers at different hours."""
    users = np.array([f"{('user', 'neighbour')[n % 2]} {n}" for n in range(count)], dtype=object)
    device = np.array(["web"] * count, dtype=object)
    columns = OnlineUserFeatures(None, user_columns(store)).missing(count)
    return Sessions(users, AT + np.arange(count) * 3600, device, columns)


def slates(release, asked):
    return [slate.tolist() for slate in release.answer(asked, {}).slates]


def over(store, day):
    """The weights of the first release over the data of a day."""
    releases = Releases(store)
    return offline_release(
        weights_of(releases, 1).folders,
        DaySnapshot.of(store, CatalogueSnapshot.at(store, day)),
        ServingConfig.of(releases, 1),
    )


@pytest.fixture(scope="module")
def on_the_eve(running, first):
    """What the first release's weights show over its own data; the next day comes after that."""
    store = Store(running.storage_url)
    shown = slates(over(store, DAY), sessions(store))
    write_next_day(store)
    return shown


def test_weights_over_data_answer_as_the_release_of_both(running, on_the_eve):
    store = Store(running.storage_url)

    assert slates(served_release(Releases(store), 1), sessions(store)) == on_the_eve


def test_over_other_data_the_same_weights_answer_otherwise(running, on_the_eve):
    store = Store(running.storage_url)
    shown = slates(over(store, NEXT_DAY), sessions(store))

    assert shown != on_the_eve
    assert ServingConfig.of(Releases(store), 1) == ServingConfig(
        popularity_discount=0.4, exploration=Exploration(0.3, 5)
    )


def test_a_day_goes_live_over_the_live_weights_without_training(running, on_the_eve):
    releases = Releases(Store(running.storage_url))
    before = releases.promoted().release
    result = refresh(running)
    live = releases.promoted()

    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert (releases.weights_of(live.release), live.before) == (before, (before,))
    assert releases.manifest(live.release)["item_features_day"] == NEXT_DAY
    (made,) = result.asset_materializations_for_node("refreshed_release")
    figures = {name: value.value for name, value in made.metadata.items()}
    assert (figures["items"], figures["new_items"]) == (len(ITEMS) + 1, 1)
    assert recommend(running, "bob", AT + 86_400).release == live.release
    again = refresh(running)
    assert not again.asset_materializations_for_node("promoted_release")
