"""The graph as a whole: what a change of it shows in review."""

import json
import subprocess
import sys

import dagster as dg
import pytest

from recsys_assets.definitions import defs

HEAVY = ("tensorflow", "pyspark", "feast", "evidently")
GRAPH = defs.resolve_asset_graph()
KEYS = sorted(GRAPH.materializable_asset_keys)
TABLES = {
    "interactions",
    "quarantined_interactions",
    "items",
    "users",
    "promotions",
    "user_features",
    "item_features",
    "training_examples",
    "item_text_embeddings",
    "evaluation",
}


def test_importing_the_definitions_loads_nothing_heavy():
    script = (
        "import json, sys; import recsys_assets.definitions; "
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True
    )

    assert json.loads(shown.stdout) == []


def test_the_definitions_can_be_loaded():
    dg.Definitions.validate_loadable(defs)


@pytest.mark.parametrize("key", KEYS, ids=dg.AssetKey.to_user_string)
def test_every_asset_says_what_it_is(key):
    node = GRAPH.get(key)

    assert node.description
    assert node.group_name != "default"
    assert node.owners
    assert node.kinds
    assert node.code_version


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_has_columns(name):
    metadata = GRAPH.get(dg.AssetKey(name)).metadata

    assert metadata["dagster/column_schema"]


def test_every_partitioned_asset_backfills_in_one_run():
    for key in KEYS:
        node = GRAPH.get(key)
        if node.partitions_def is not None:
            assert node.backfill_policy == dg.BackfillPolicy.single_run()


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
    }
