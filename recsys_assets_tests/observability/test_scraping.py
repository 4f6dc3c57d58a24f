"""Who is scraped on a laptop and on a cluster, and under which name."""

import json

import pytest
import yaml

from recsys_assets_tests.observability.watching import FOLDER, alerts, run
from tools.dashboards.names import rule_files

LOCAL = FOLDER / "prometheus.yml"
CLUSTER = FOLDER / "prometheus-kubernetes.yml"
# Of the cluster: what the label `component` says, the port, and the job that alerts name.
PODS = [
    ("triton", 8002, "triton"),
    ("triton", 8080, "agent"),
    ("triton-canary", 8002, "triton-canary"),
    ("triton-canary", 8080, "agent-canary"),
    ("recommend", 8090, "recommend"),
    ("events", 8091, "events"),
    ("exporter", 8092, "exporter"),
    ("events-landing", 8093, "events-landing"),
]
PASSED_OVER = [("triton", 8000), ("triton", 8001), ("valkey", 6379), ("grafana", 3000)]


def jobs(file):
    return {one["job_name"] for one in yaml.safe_load(file.read_text())["scrape_configs"]}


def test_a_laptop_loads_every_rule_that_is_not_of_a_cluster():
    loaded = yaml.safe_load(LOCAL.read_text())["rule_files"]
    everywhere = [one.name for one in rule_files() if not one.name.startswith("kubernetes-")]
    assert sorted(loaded) == [f"rules/{name}" for name in everywhere]


def test_a_cluster_loads_all():
    assert yaml.safe_load(CLUSTER.read_text())["rule_files"] == ["rules/*.yml"]


def test_configuration_is_mounted_as_a_whole():
    content = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    mounted = {one["name"]: one["files"] for one in content["configMapGenerator"]}
    assert sorted(mounted["prometheus-rules"]) == [f"rules/{file.name}" for file in rule_files()]
    dashboards = sorted((FOLDER / "dashboards").glob("*.json"))
    assert sorted(mounted["grafana-dashboards"]) == [f"dashboards/{one.name}" for one in dashboards]
    assert mounted["prometheus"] == [f"prometheus.yml={CLUSTER.name}"]
    assert mounted["alertmanager"] == ["alertmanager.yml"]


def test_alerts_name_jobs_that_are_scraped():
    named = {
        job
        for alert in alerts()
        for part in alert["expr"].split('job="')[1:]
        for job in [part.split('"')[0]]
    }
    assert named
    assert named <= jobs(LOCAL) | jobs(CLUSTER) | {job for _, _, job in PODS}


def without_discovery(pods, folder):
    """The cluster's configuration with pods as discovery would describe them.

    Debian's promtool is built without Kubernetes discovery.
    """
    content = yaml.safe_load(CLUSTER.read_text())
    content["rule_files"] = [str(FOLDER / "rules/*.yml")]
    for job in content["scrape_configs"]:
        if job.pop("kubernetes_sd_configs", None):
            job["static_configs"] = [described(*pod) for pod in pods]
        job.pop("authorization", None)  # its files are those of a pod
        job.pop("tls_config", None)
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(content))
    return file


def described(component, port):
    labels = {
        "namespace": "recsys",
        "pod_name": f"{component}-0",
        "pod_phase": "Running",
        "pod_label_app_kubernetes_io_component": component,
        "pod_container_port_number": str(port),
    }
    meta = {f"__meta_kubernetes_{name}": value for name, value in labels.items()}
    return {"targets": [f"10.0.0.1:{port}"], "labels": meta}


@pytest.mark.integration
def test_promtool_accepts_both(tmp_path):
    run("promtool", "check", "config", LOCAL)
    run("promtool", "check", "config", without_discovery([], tmp_path))


@pytest.mark.integration
@pytest.mark.parametrize(("component", "port", "job"), PODS)
def test_a_pod_is_scraped_under_the_name_that_alerts_know(tmp_path, component, port, job):
    (target,) = targets([(component, port)], tmp_path)
    assert target["labels"]["job"] == job
    assert target["labels"]["pod"] == f"{component}-0"
    assert target["labels"]["namespace"] == "recsys"


@pytest.mark.integration
def test_other_ports_are_passed_over(tmp_path):
    assert [one for one in targets(PASSED_OVER, tmp_path) if one["labels"]] == []


def targets(pods, folder):
    file = without_discovery(pods, folder)
    return json.loads(run("promtool", "check", "service-discovery", "--timeout=1s", file, "recsys"))
