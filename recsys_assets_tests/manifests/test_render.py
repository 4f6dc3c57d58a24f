"""Overlays and Dagster's values, rendered without a cluster."""

from pathlib import Path

import pytest
import yaml

from recsys_assets.settings import REPOSITORY
from recsys_assets_tests.manifests.manifests import rendered
from tools.manifests.render import (
    EXECUTOR,
    TRAINING,
    Unrenderable,
    overlays,
    render_chart,
    render_overlay,
    values,
    values_files,
)

_CHART = "apiVersion: v2\nname: dagster\nversion: 1.0.0\n"
_TEMPLATE = """
apiVersion: v1
kind: ConfigMap
metadata: { name: instance }
data:
  launcher: "{{ .Values.runLauncher.type }}"
  host: "{{ .Values.postgresql.postgresqlHost }}"
"""


def chart(folder: Path, schema: str = "{}") -> Path:
    (folder / "templates").mkdir()
    (folder / "Chart.yaml").write_text(_CHART)
    (folder / "templates" / "instance.yaml").write_text(_TEMPLATE)
    (folder / "values.schema.json").write_text(schema)
    return folder


def test_every_overlay_is_rendered_into_the_namespace() -> None:
    assert [each.name for each in overlays()] == ["dev", "eks", "eks-gpu"]
    for each in rendered("dev").objects:
        if each["kind"] not in ("Namespace", "ClusterRole", "ClusterRoleBinding"):
            assert each["metadata"]["namespace"] == "recsys"


def test_an_overlay_that_kubectl_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [nowhere.yaml]\n")
    with pytest.raises(Unrenderable, match=r"nowhere\.yaml"):
        render_overlay(tmp_path)


def test_a_chart_is_rendered_with_the_values_of_the_overlay(tmp_path: Path) -> None:
    (made,) = render_chart(chart(tmp_path), "eks").objects
    assert made["data"]["launcher"] == "K8sRunLauncher"
    assert made["data"]["host"].endswith("rds.amazonaws.com")


def test_values_that_the_schema_of_the_chart_refuses_are_not_rendered(tmp_path: Path) -> None:
    schema = '{"properties": {"runLauncher": {"required": ["unheard"]}}}'
    with pytest.raises(Unrenderable, match="unheard"):
        render_chart(chart(tmp_path, schema), "dev")


def test_values_of_eks_are_merged_into_the_others() -> None:
    merged = values(values_files("eks"))
    assert merged["postgresql"]["enabled"] is False
    assert merged["postgresql"]["existingSecret"] == "dagster-postgres"
    assert merged["computeLogManager"]["config"]["s3ComputeLogManager"]["prefix"] == "dagster/logs"


def test_limits_of_runs_are_those_of_the_local_instance() -> None:
    local = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    daemon = values(values_files("dev"))["dagsterDaemon"]
    queue = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert queue["tagConcurrencyLimits"] == local["concurrency"]["runs"]["tag_concurrency_limits"]
    assert queue["maxConcurrentRuns"] == local["concurrency"]["runs"]["max_concurrent_runs"]
    own = values(values_files("dev"))["additionalInstanceConfig"]
    assert own["run_retries"] == local["run_retries"]
    limit = local["concurrency"]["pools"]["default_limit"]
    assert own["concurrency"]["default_op_concurrency_limit"] == limit


def test_pods_that_are_started_later_bear_the_labels_that_policies_select() -> None:
    from recsys_assets.defs.pipes.kubernetes import ModelsOnKubernetes
    from recsys_assets.features.spark_session import Driver, spark_options
    from recsys_assets_tests.defs.deployment.eks import SETTINGS

    models = ModelsOnKubernetes.from_settings(SETTINGS)
    assert TRAINING.items() <= models.pod_metadata("run", "asset")["labels"].items()
    options = spark_options(SETTINGS.cluster, driver=Driver("pod", "10.0.0.1"))
    for key, value in EXECUTOR.items():
        assert options[f"spark.kubernetes.executor.label.{key}"] == value


def test_every_rule_and_dashboard_is_in_the_cluster() -> None:
    kustomization = yaml.safe_load(
        (REPOSITORY / "observability" / "kustomization.yaml").read_text()
    )
    listed = {file for each in kustomization["configMapGenerator"] for file in each["files"]}
    folder = REPOSITORY / "observability"
    files = [*folder.glob("rules/*.yml"), *folder.glob("dashboards/*.json")]
    assert {str(each.relative_to(folder)) for each in files} <= listed
