"""One variable chooses everything that differs between deployments."""

import dagster as dg
import pytest

from recsys_assets.definitions import defs
from recsys_assets.defs.deployment import table
from recsys_assets.defs.pipes.kubernetes import ModelsOnKubernetes
from recsys_assets.defs.pipes.pipes import ModelsSubprocess
from recsys_assets.settings import DEPLOYMENTS, load_settings
from recsys_assets_tests.defs.deployment import eks

LOCAL = load_settings({})


def test_the_table_has_a_row_for_each_deployment():
    assert tuple(table.DEPLOYMENTS) == DEPLOYMENTS


def test_on_one_machine_all_is_on_that_machine():
    resources = table.resources(LOCAL)

    assert resources["store"].url.startswith("file://")
    assert isinstance(resources["models"], ModelsSubprocess)
    assert resources["serving"].triton_grpc == "127.0.0.1:8701"
    assert not resources["serving"].agents
    assert LOCAL.offline_store == "duckdb"
    assert LOCAL.cluster is None
    assert table.executor(LOCAL, {}) is dg.in_process_executor


def test_in_the_cluster_all_is_in_the_cluster():
    resources = table.resources(eks.SETTINGS)

    assert resources["store"].url == "s3://shop/recsys"
    assert resources["source"].url == "s3://shop/events"
    assert isinstance(resources["models"], ModelsOnKubernetes)
    assert resources["models"].image == "recsys-training:1"
    assert resources["models"].namespace == "recsys"
    assert resources["serving"].triton_grpc == "triton:8001"
    assert resources["serving"].agents == "triton-agents:8080"
    assert eks.SETTINGS.offline_store == "athena"
    assert eks.SETTINGS.cluster.spark_master == "k8s://https://kubernetes.default.svc"
    assert table.executor(eks.SETTINGS, {}).name == "steps_in_pods"


def test_assets_do_not_know_where_they_run():
    assert set(table.resources(LOCAL)) == set(table.resources(eks.SETTINGS))
    assert set(eks.defs.resolve_asset_graph().get_all_asset_keys()) == set(
        defs.resolve_asset_graph().get_all_asset_keys()
    )


@pytest.mark.parametrize("deployment", [defs, eks.defs], ids=["local", "eks"])
def test_the_graph_of_each_deployment_can_be_loaded(deployment):
    dg.Definitions.validate_loadable(deployment)
