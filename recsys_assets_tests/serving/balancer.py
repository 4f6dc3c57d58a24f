"""haproxy in the place of a Service: it sends requests to pods that pass their readiness probes.

Path, port, period, timeout and thresholds of the probes are those of the rendered manifests. A pod
is ready if every container's probe succeeds, as the kubelet has it; like kube-proxy, haproxy opens
a connection to one pod and does not try another where that fails.
"""

import csv
import io
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.manifests.manifests import rendered
from recsys_assets_tests.observability.watching import tool
from recsys_assets_tests.serving.pods import Pod
from recsys_assets_tests.waiting import until

_DEFAULTS = {"periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3, "successThreshold": 1}
_UP = "UP"


@dataclass(frozen=True)
class Probe:
    """A readiness probe: the container's port, the path, and when a pod counts as ready."""

    port: int
    path: str
    period: int
    timeout: int
    fall: int
    rise: int


def readiness_probes(deployment: str) -> list[Probe]:
    """The readiness probes of all containers of a deployment."""
    (found,) = (
        each for each in rendered().of_kind("Deployment") if each["metadata"]["name"] == deployment
    )
    containers = found["spec"]["template"]["spec"]["containers"]
    return [_probe(container) for container in containers if "readinessProbe" in container]


def _probe(container: Mapping[str, Any]) -> Probe:
    probe = {**_DEFAULTS, **container["readinessProbe"]}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    get = probe["httpGet"]
    return Probe(
        ports.get(get["port"], get["port"]),
        get["path"],
        probe["periodSeconds"],
        probe["timeoutSeconds"],
        probe["failureThreshold"],
        probe["successThreshold"],
    )


@dataclass(frozen=True)
class Balancer:
    """A running haproxy: where requests are sent, and where it tells how pods are."""

    address: str
    admin: tuple[str, int]

    def ready(self) -> set[str]:
        """Addresses of the agents of the pods that requests are sent to."""
        with socket.create_connection(self.admin) as asked:
            asked.sendall(b"show stat\n")
            told = b"".join(iter(lambda: asked.recv(65_536), b"")).decode()
        rows = csv.DictReader(io.StringIO(told.removeprefix("# ")))
        return {
            row["svname"]
            for row in rows
            if row["pxname"] == "service" and row["type"] == "2" and row["status"].startswith(_UP)
        }


@contextmanager
def balanced(pods: Sequence[Pod], folder: Path) -> Iterator[Balancer]:
    """Stands in front of pods, started or not, as the service `triton` over its HTTP port."""
    port, admin = free_port(), free_port()
    file = folder / "haproxy.cfg"
    file.write_text(_configuration(pods, readiness_probes("triton"), port, admin))
    program = Path(tool("haproxy"))
    libraries = program.resolve().parents[1] / "lib/x86_64-linux-gnu"  # unpacked, not installed
    with subprocess.Popen(
        [program, "-db", "-f", file], env={**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    ) as process:
        balancer = Balancer(f"127.0.0.1:{port}", ("127.0.0.1", admin))
        try:
            # haproxy takes every server for up until it has looked.
            running = {pod.address for pod in pods if pod.process is not None and pod.is_ready()}
            until(lambda: process.poll() is not None or _ready(balancer) == running)
            assert process.poll() is None
            yield balancer
        finally:
            process.terminate()


def _ready(balancer: Balancer) -> set[str] | None:
    """None while it is starting."""
    try:
        return balancer.ready()
    except ConnectionError:
        return None


def _configuration(pods: Sequence[Pod], probes: Sequence[Probe], port: int, admin: int) -> str:
    slowest = max(probe.timeout for probe in probes)
    lines = [
        "global",
        f"    stats socket ipv4@127.0.0.1:{admin} level operator",
        "defaults",
        "    mode tcp",
        "    retries 0",
        "    timeout connect 2s",
        "    timeout client 60s",
        "    timeout server 60s",
        f"    timeout check {slowest}s",
        "listen service",
        f"    bind 127.0.0.1:{port}",
        "    balance roundrobin",
    ]
    lines += [
        f"    server {pod.address} {pod.settings.triton_http} track {_name(pod)}/probed"
        for pod in pods
    ]
    for pod in pods:
        lines += [f"backend {_name(pod)}", "    option httpchk"]
        for probe in probes:
            lines += [
                f"    http-check connect port {_port(pod, probe.port)}",
                f"    http-check send meth GET uri {probe.path}",
                "    http-check expect status 200-399",
            ]
        quick = min(probes, key=lambda probe: probe.period)
        lines.append(
            f"    server probed {pod.settings.triton_http} check inter {quick.period}s "
            f"fall {quick.fall} rise {quick.rise}"
        )
    return "\n".join([*lines, ""])


def _name(pod: Pod) -> str:
    return f"of-{pod.address}"


def _port(pod: Pod, container_port: int) -> str:
    """Where a process stands in for a container's port."""
    settings = pod.settings
    played = {
        8000: settings.triton_http,
        8001: settings.triton_grpc,
        8002: settings.triton_metrics,
        8080: pod.address,
    }
    return played[container_port].rpartition(":")[2]
