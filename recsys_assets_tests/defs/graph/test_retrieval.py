import dagster as dg
import numpy as np
import pytest

from recsys_assets.defs.graph import retrieval
from recsys_assets.defs.pipes.pipes import ModelsSubprocess
from recsys_assets.defs.resources import StoreResource, VectorIndex
from recsys_assets.models.index.index import ItemIndex
from recsys_assets.models.towers import write_embeddings
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store
from recsys_assets_tests.models.index.test_index import unit_vectors

pytestmark = pytest.mark.integration

ITEMS = 1200


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store").as_uri())
    ids = np.array([f"item-{n}" for n in range(ITEMS)])
    with store.artifact("item_embeddings").new_version() as draft:
        write_embeddings(draft.path, unit_vectors(ITEMS), ids)
    with store.artifact("two_tower").new_version() as draft:
        np.save(draft.path / "sample_queries.npy", unit_vectors(30, seed=1))
    return store


def materialize(store, config, kind="auto"):
    return dg.materialize(
        [retrieval.index_tuning, retrieval.item_index],
        resources={
            "store": StoreResource(url=store.url),
            "models": ModelsSubprocess.from_settings(load_settings()),
            "vector_index": VectorIndex(kind=kind),
        },
        run_config={"ops": {"index_tuning": {"config": {"searches": 5, **config}}}},
        raise_on_error=False,
    )


def test_the_index_is_built_as_the_tuning_has_chosen(store):
    result = materialize(store, {"recall_target": 0.9, "memory_limit_mib": 1})

    tuned, built = (
        result.asset_materializations_for_node(name)[0].metadata
        for name in ("index_tuning", "item_index")
    )
    assert tuned["recall_at_100_low"].value >= 0.9
    assert "data:image/png" in tuned["plot"].value
    assert f"**{tuned['chosen'].value}**" in tuned["table"].value
    assert built["built_with"].value == tuned["chosen"].value
    assert set(built["recall_at_100_by_budget"].value) == {"low", "normal", "high"}
    found = ItemIndex(store.artifact("item_index").fetch())
    assert found.description.budgets["normal"] == tuned["effort"].value or (
        found.description.kind == "flat"
    )


def test_a_target_that_nothing_meets_publishes_no_tuning(store):
    before = store.artifact("index_tuning").current()

    result = materialize(store, {"recall_target": 1.01})

    assert not result.success
    assert store.artifact("index_tuning").current() == before
