"""Selectors, ports, budgets and the end of pods; each check finds what is wrong."""

from collections.abc import Callable

import pytest

from recsys_assets_tests.manifests.manifests import changed, container, rendered, without
from tools.manifests import wiring
from tools.manifests.findings import Object

CHECKS = (
    wiring.selector_findings,
    wiring.port_findings,
    wiring.scaling_findings,
    wiring.ending_findings,
    wiring.gpu_findings,
    wiring.size_findings,
)


@pytest.mark.parametrize("overlay", ["dev", "eks", "eks-gpu"])
def test_the_manifests_fit_together(overlay: str) -> None:
    for check in CHECKS:
        assert [str(each) for each in check(rendered(overlay))] == []


def _select(of: Object) -> None:
    of["spec"]["selector"] = {"app.kubernetes.io/component": "tritn"}


def _allow(of: Object) -> None:
    of["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"] = {"app": "recommend"}


def _name_unknown(of: Object) -> None:
    of["spec"]["podSelector"]["matchExpressions"][0]["values"].append("land-events")


@pytest.mark.parametrize(
    ("kind", "name", "change", "field"),
    [
        ("Service", "triton", _select, "spec.selector"),
        ("NetworkPolicy", "triton", _allow, "spec.ingress.from"),
        ("NetworkPolicy", "metrics", _name_unknown, "spec.podSelector"),
    ],
)
def test_a_selector_that_matches_no_pod_is_found(
    kind: str, name: str, change: Callable[[Object], None], field: str
) -> None:
    (finding,) = wiring.selector_findings(changed(kind, name, change))
    assert (finding.object, finding.field) == (f"{kind}/{name}", field)


def _target(of: Object) -> None:
    of["spec"]["ports"][0]["targetPort"] = 8100


def _probe(of: Object) -> None:
    container(of)["readinessProbe"]["httpGet"]["port"] = "agent"


def _open(of: Object) -> None:
    of["spec"]["ingress"][0]["ports"] = [{"protocol": "TCP", "port": 9000}]


@pytest.mark.parametrize(
    ("kind", "name", "change", "value"),
    [
        ("Service", "recommend", _target, "8100"),
        ("Deployment", "triton", _probe, "agent"),
        ("NetworkPolicy", "alertmanager", _open, "9000"),
    ],
)
def test_a_port_that_no_container_has_is_found(
    kind: str, name: str, change: Callable[[Object], None], value: str
) -> None:
    (finding,) = wiring.port_findings(changed(kind, name, change))
    assert (finding.object, finding.value) == (f"{kind}/{name}", value)


def test_an_autoscaler_without_a_deployment_is_found() -> None:
    found = list(wiring.scaling_findings(without("Deployment", "triton")))
    assert [each.field for each in found] == ["scaleTargetRef"]


def test_several_pods_without_a_budget_are_found() -> None:
    (finding,) = wiring.scaling_findings(without("PodDisruptionBudget", "triton"))
    assert finding.object == "Deployment/triton"


def _fix_the_number(of: Object) -> None:
    of["spec"]["replicas"] = 2


def test_a_number_of_pods_that_is_the_autoscalers_is_found() -> None:
    (finding,) = wiring.scaling_findings(changed("Deployment", "events", _fix_the_number))
    assert (finding.object, finding.field) == ("Deployment/events", "replicas")


def _callers(overlay: str, policy: str, selector: Callable[[Object], Object]) -> set[str]:
    (found,) = (
        each for each in rendered(overlay).of_kind("NetworkPolicy") if _name(each) == policy
    )
    return set(selector(found["spec"])["matchExpressions"][0]["values"])


def _name(of: Object) -> str:
    return str(of["metadata"]["name"])


def test_whoever_reaches_the_online_store_of_dev_reaches_that_of_eks() -> None:
    dev = _callers("dev", "valkey", lambda spec: spec["ingress"][0]["from"][0]["podSelector"])
    eks = _callers("eks", "to-valkey", lambda spec: spec["podSelector"])
    assert dev == eks >= {"dagster-daemon", "exporter"}


def test_a_killed_server_leaves_no_shared_memory_to_the_next_one() -> None:
    for name in ("triton", "triton-canary"):
        (found,) = (e for e in rendered().of_kind("Deployment") if _name(e) == name)
        server = container(found)
        (prefix,) = (each for each in server["args"] if "shm-region-prefix-name=" in each)
        assert f"rm -f /dev/shm/{prefix.rpartition('=')[2]}*;" in server["command"][2]


def _may_be_missing(of: Object) -> None:
    of["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = "25%"


def test_a_rolling_update_that_takes_a_pod_away_first_is_found() -> None:
    (finding,) = wiring.scaling_findings(changed("Deployment", "recommend", _may_be_missing))
    assert finding.value == "25%"


def _no_time(of: Object) -> None:
    of["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 30


def test_a_pod_that_is_killed_while_it_answers_is_found() -> None:
    # 10 s until it is no endpoint any more, and 20 s of Triton's own.
    (finding,) = wiring.ending_findings(changed("Deployment", "triton", _no_time))
    assert "needs 30 s" in finding.remedy


def _compute_on_the_cpu(of: Object) -> None:
    container(of, 1)["args"][-1] = "cpu"


def _have_no_gpu(of: Object) -> None:
    del container(of)["resources"]["limits"]["nvidia.com/gpu"]


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (_compute_on_the_cpu, "give the agent --device gpu, or the model computes on the CPU"),
        (_have_no_gpu, "the agent says --device gpu"),
    ],
)
def test_a_server_that_does_not_use_its_gpu_is_found(
    change: Callable[[Object], None], remedy: str
) -> None:
    (finding,) = wiring.gpu_findings(changed("Deployment", "triton-canary", change, "eks-gpu"))
    assert (finding.field, finding.remedy) == ("limits.nvidia.com/gpu", remedy)


def _have_more_memory(of: Object) -> None:
    container(of)["resources"]["limits"]["memory"] = "4Gi"


def test_a_size_that_the_settings_do_not_know_is_found() -> None:
    (finding,) = wiring.size_findings(changed("Deployment", "triton", _have_more_memory))
    assert (finding.field, finding.value) == ("RECSYS_TRITON_MEMORY", "3Gi")
    assert "the pods have 4Gi" in finding.remedy


def test_an_operator_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="NotIn"):
        wiring.matches({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": []}]}, {})
