"""Renders overlays with kubectl and Dagster's chart with Helm's library. No cluster is asked."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from recsys_assets.settings import REPOSITORY
from tools.manifests.findings import Rendered

K8S = REPOSITORY / "k8s"
CHART = "dagster"
NAMESPACE = "recsys"

# Pods that neither an overlay nor the chart contains, as they are started while all of it runs.
RUN = {"app.kubernetes.io/name": "dagster", "app.kubernetes.io/component": "run_worker"}
STEP = {"app.kubernetes.io/name": "dagster", "app.kubernetes.io/component": "step_worker"}
TRAINING = {"app.kubernetes.io/component": "training"}
EXECUTOR = {"app.kubernetes.io/component": "spark-executor"}
_DAGSTER = {"app.kubernetes.io/name": "dagster"}


class Unrenderable(RuntimeError):
    """Manifests that cannot be rendered; the message is the renderer's."""


def overlays() -> list[Path]:
    """Every overlay, by name."""
    return sorted(each.parent for each in (K8S / "overlays").glob("*/kustomization.yaml"))


def values_files(overlay: str) -> list[Path]:
    """The values of Dagster's chart that belong to an overlay."""
    own = K8S / "dagster" / "values-eks.yaml"
    return [K8S / "dagster" / "values.yaml", *([own] if overlay.startswith("eks") else [])]


def values(files: Sequence[Path]) -> dict[str, Any]:
    """Values as Helm takes them: mappings are merged, what is later replaces the rest."""
    merged: dict[str, Any] = {}
    for file in files:
        merged = _merged(merged, yaml.safe_load(file.read_text(encoding="utf-8")))
    return merged


def render_overlay(folder: Path) -> Rendered:
    """Renders an overlay.

    Raises:
        Unrenderable: kubectl refuses it.
    """
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unrenderable(f"{folder}: {done.stderr.strip()[:2000]}")
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    found = values(values_files(folder.name))
    return Rendered(_relative(folder), objects, _foreign(found), done.stdout)


def render_chart(chart: Path, overlay: str) -> Rendered:
    """Renders Dagster's chart with the values of an overlay, which the chart's schema must pass.

    Args:
        chart: folder or archive of the chart, with what it depends on.
        overlay: name of an overlay.

    Raises:
        Unrenderable: Helm refuses the chart or the values.
    """
    import helm_python

    files = values_files(overlay)
    try:
        text = _template(chart, values(files))
    except helm_python.HelmError as error:
        raise Unrenderable(f"{files[-1]} with the chart {chart}: {error}") from None
    objects = [each for each in yaml.safe_load_all(text) if each]
    return Rendered(f"{_relative(files[-1])} with {chart.name}", objects, [], text)


def _template(chart: Path, given: dict[str, Any]) -> str:
    """The chart's manifests as one document after another."""
    from helm_python import Chart

    with Chart.load(chart) as loaded:
        loaded.validate_schema(given)
        manifests: dict[str, str] = loaded.render(given, name=CHART, namespace=NAMESPACE)
    documents = {path: text for path, text in manifests.items() if path.endswith(".yaml")}
    return "\n---\n".join(documents.values())


def _foreign(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """Labels of the pods that the chart and what it runs start."""
    deployments = found["dagster-user-deployments"]["deployments"]
    parts = [found["dagsterWebserver"], found["dagsterDaemon"], *deployments]
    pods = [{**_DAGSTER, **part["labels"]} for part in parts]
    runs = found["runLauncher"]["config"]["k8sRunLauncher"].get("labels", {})
    database = [{"app": "postgresql"}] if found["postgresql"]["enabled"] else []
    return [*pods, {**RUN, **runs}, {**STEP, **runs}, TRAINING, EXECUTOR, *database]


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _relative(path: Path) -> str:
    return str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else str(path)
