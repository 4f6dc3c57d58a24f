"""What must fit together: selectors and pods, ports, autoscaling, budgets, and the end of a pod."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from tools.manifests.findings import Finding, Object, Rendered, containers_of, labels_of, pod_of
from tools.manifests.references import SETTINGS_MAP

_GPU, _ON_GPU = "nvidia.com/gpu", ("--device", "gpu")


def selector_findings(rendered: Rendered) -> Iterator[Finding]:
    """Selectors that match no pod. An empty one means all, and so matches."""
    pods = [*map(labels_of, rendered.workloads()), *rendered.foreign]
    for of, field, selector in _selectors(rendered):
        for alternative in alternatives(selector):
            if not any(matches(alternative, pod) for pod in pods):
                yield _unmatched(rendered, of, field, alternative)
    for each in rendered.workloads():
        if not matches(each["spec"].get("selector", {}), labels_of(each)):
            yield _unmatched(rendered, each, "spec.selector", each["spec"]["selector"])


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes a pod.

    Raises:
        ValueError: an operator other than In, which is the only one used here.
    """
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for each in selector.get("matchExpressions", []):
        if each["operator"] != "In":
            raise ValueError(f"operator {each['operator']} is not understood here: use In")
        if labels.get(each["key"]) not in each["values"]:
            return False
    return True


def alternatives(selector: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """One selector for each value of an expression: each must match, or it is a wrong name."""
    expressions = selector.get("matchExpressions", [])
    if len(expressions) != 1:
        yield selector
        return
    for value in expressions[0]["values"]:
        yield {**selector, "matchExpressions": [{**expressions[0], "values": [value]}]}


def port_findings(rendered: Rendered) -> Iterator[Finding]:
    """Ports of services, probes and policies that no container has."""
    pods = [(labels_of(each), each) for each in rendered.workloads()]
    for service in rendered.of_kind("Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        taken = [workload for labels, workload in pods if matches(selector, labels)]
        yield from _service_ports(rendered, service, taken)
    for _, workload in pods:
        yield from _probe_ports(rendered, workload)
    for policy in rendered.of_kind("NetworkPolicy"):
        yield from _policy_ports(rendered, policy, pods)


def scaling_findings(rendered: Rendered) -> Iterator[Finding]:
    """Autoscalers without a target or at odds with it, several pods without what they need."""
    deployments = {each["metadata"]["name"]: each for each in rendered.of_kind("Deployment")}
    scalers = list(rendered.of_kind("HorizontalPodAutoscaler"))
    for each in scalers:
        spec = each["spec"]
        target = spec["scaleTargetRef"]["name"]
        if target not in deployments:
            yield rendered.finding(each, "scaleTargetRef", target, "no such Deployment")
        if spec["minReplicas"] >= spec["maxReplicas"]:
            yield rendered.finding(each, "maxReplicas", spec["maxReplicas"], "give more than min")
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in scalers}
    for name, each in deployments.items():
        if name in scaled and "replicas" in each["spec"]:
            remedy = "leave it out: to apply it takes away pods that the autoscaler has added"
            yield rendered.finding(each, "replicas", each["spec"]["replicas"], remedy)
        if each["spec"].get("replicas", 1) > 1 or name in scaled:
            yield from _several_pods(rendered, each)


def gpu_findings(rendered: Rendered) -> Iterator[Finding]:
    """Triton's pods that have a GPU and compute on the CPU, or the other way round."""
    for each in rendered.of_kind("Deployment"):
        server, agent = (_container(each, name) for name in ("triton", "agent"))
        if server is None or agent is None:
            continue
        gpus = server.get("resources", {}).get("limits", {}).get(_GPU, "0")
        on_gpu = _ON_GPU in pairwise(agent.get("args", []))
        if on_gpu and gpus == "0":
            yield rendered.finding(each, f"limits.{_GPU}", gpus, "the agent says --device gpu")
        if gpus != "0" and not on_gpu:
            remedy = "give the agent --device gpu, or the model computes on the CPU"
            yield rendered.finding(each, f"limits.{_GPU}", gpus, remedy)


def size_findings(rendered: Rendered) -> Iterator[Finding]:
    """Triton's pods whose size is another than the settings say, by which releases are refused."""
    settings = {
        name: value
        for each in rendered.of_kind("ConfigMap")
        if each["metadata"]["name"] == SETTINGS_MAP
        for name, value in each["data"].items()
    }
    for each in rendered.of_kind("Deployment"):
        server = _container(each, "triton")
        if server is None:
            continue
        volumes = {volume["name"]: volume for volume in pod_of(each)["volumes"]}
        for variable, size in (
            ("RECSYS_TRITON_MEMORY", server["resources"]["limits"]["memory"]),
            ("RECSYS_TRITON_MODELS", volumes["models"]["emptyDir"]["sizeLimit"]),
        ):
            if settings.get(variable) != size:
                remedy = f"the pods have {size}: give the same in ConfigMap {SETTINGS_MAP}"
                yield rendered.finding(each, variable, settings.get(variable), remedy)


def _container(workload: Object, name: str) -> Object | None:
    return next((each for each in pod_of(workload)["containers"] if each["name"] == name), None)


def _several_pods(rendered: Rendered, deployment: Object) -> Iterator[Finding]:
    """What several pods need so that some of them always answer."""
    budgets = [each["spec"]["selector"] for each in rendered.of_kind("PodDisruptionBudget")]
    if not any(matches(budget, labels_of(deployment)) for budget in budgets):
        yield rendered.finding(deployment, "selector", "", "give it a PodDisruptionBudget")
    if not pod_of(deployment).get("topologySpreadConstraints"):
        yield rendered.finding(deployment, "topologySpreadConstraints", "", "spread it over zones")
    value = deployment["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable")
    if value != 0:
        yield rendered.finding(deployment, "maxUnavailable", value, "0, or answers are missed")


def ending_findings(rendered: Rendered) -> Iterator[Finding]:
    """Pods that are killed before they have answered what they had begun."""
    for workload in rendered.workloads():
        pod = pod_of(workload)
        grace = pod.get("terminationGracePeriodSeconds", 30)
        for container in pod["containers"]:
            needed = _seconds_to_end(container)
            if grace <= needed:
                remedy = f"{container['name']} needs {needed:g} s to end: give more"
                yield rendered.finding(workload, "terminationGracePeriodSeconds", grace, remedy)


def _seconds_to_end(container: Object) -> float:
    hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
    seconds = float(hook[1]) if hook[:1] == ["sleep"] else 0.0
    arguments = [str(each) for each in container.get("args", [])]
    for at, each in enumerate(arguments):
        if each.startswith("--exit-timeout-secs="):
            seconds += float(each.partition("=")[2])
        if each == "--drain-seconds":
            seconds += float(arguments[at + 1])
    return seconds


def _service_ports(rendered: Rendered, service: Object, taken: list[Object]) -> Iterator[Finding]:
    for port in service["spec"]["ports"]:
        target = port.get("targetPort", port["port"])
        for workload in taken:
            if target not in _ports(pod_of(workload)["containers"]):
                yield rendered.finding(service, "targetPort", target, _no_port(workload))


def _probe_ports(rendered: Rendered, workload: Object) -> Iterator[Finding]:
    for container in containers_of(pod_of(workload)):
        for field in ("startupProbe", "livenessProbe", "readinessProbe"):
            port = _probed(container.get(field, {}))
            if port is not None and port not in _ports([container]):
                yield rendered.finding(workload, field, port, "no port of the container")


def _selectors(rendered: Rendered) -> Iterator[tuple[Object, str, Mapping[str, Any]]]:
    for each in rendered.of_kind("Service"):
        yield each, "spec.selector", {"matchLabels": each["spec"]["selector"]}
    for each in rendered.of_kind("PodDisruptionBudget"):
        yield each, "spec.selector", each["spec"]["selector"]
    for each in rendered.of_kind("NetworkPolicy"):
        for field, selector in _policy_selectors(each):
            yield each, field, selector


def _policy_selectors(policy: Object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Selectors of pods in this namespace; those of other namespaces cannot be known here."""
    yield "spec.podSelector", policy["spec"]["podSelector"]
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for rule in policy["spec"].get(way, []):
            for peer in rule.get(peers, []):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    yield f"spec.{way}.{peers}", peer["podSelector"]


def _policy_ports(
    rendered: Rendered, policy: Object, pods: list[tuple[Mapping[str, str], Object]]
) -> Iterator[Finding]:
    """Ports that a policy opens on pods of which none has it; those of others are not known."""
    selector = policy["spec"]["podSelector"]
    if any(matches(selector, labels) for labels in rendered.foreign):
        return
    containers = [
        container
        for labels, workload in pods
        if matches(selector, labels)
        for container in pod_of(workload)["containers"]
    ]
    open_ = {port for port in _ports(containers) if isinstance(port, int)}
    for rule in policy["spec"].get("ingress", []):
        for each in rule.get("ports", []):
            span = range(each["port"], each.get("endPort", each["port"]) + 1)
            if not open_.intersection(span):
                yield rendered.finding(policy, "ports", each["port"], "no port of these pods")


def _ports(containers: list[Object]) -> set[int | str]:
    ports = [port for container in containers for port in container.get("ports", [])]
    return {each["containerPort"] for each in ports} | {each.get("name") for each in ports}


def _probed(probe: Object) -> int | str | None:
    for kind in ("httpGet", "tcpSocket", "grpc"):
        if kind in probe:
            return probe[kind]["port"]
    return None


def _no_port(workload: Object) -> str:
    return f"no port of {workload['kind']} {workload['metadata']['name']}"


def _unmatched(rendered: Rendered, of: Object, field: str, selector: object) -> Finding:
    return rendered.finding(of, field, selector, "matches no pod")
