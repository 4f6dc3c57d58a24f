"""A cluster without nodes: an API server, the chart's instance on a Postgres, its code location.

The code location is a gRPC server as in its pod, and the daemon's own loops take runs from the
queue and look after them. Nothing executes the pods.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._cli.job import execute_launch_command
from dagster._cli.workspace.cli_target import WorkspaceOpts
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.execution.api import execute_run_iterator
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.server import wait_for_grpc_server
from dagster._utils.error import SerializableErrorInfo

from recsys_assets.defs.deployment.steps import PODS
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.defs.deployment import chart, eks
from recsys_assets_tests.defs.deployment.chart import Values
from recsys_assets_tests.kubernetes_api import KubernetesApi, kubernetes_api
from recsys_assets_tests.postgres import postgres
from recsys_assets_tests.waiting import LIMIT

NAMESPACE = chart.RELEASE_NAMESPACE
VALUES = chart.values()
ROLLBACK = {"ops": {"rollback": {"config": {"reason": "a test", "expected_release": 2}}}}
READ_ONLY = (
    "/proc/dagster_home"  # as DAGSTER_HOME in a pod, where Postgres has all there is to keep
)
DAY = {"dagster/partition": "2017-03-01"}


class Cluster:
    """An API server, the chart's instance, and its code location."""

    def __init__(self, api: KubernetesApi, process: WorkspaceProcessContext, home: Path) -> None:
        self.api, self.process, self.instance = api, process, process.instance
        self.home, self.kubeconfig = home, str(home / "kubeconfig")

    def launch(self, job, config=None, tags=None):
        """Submits a run, has the daemon take it from the queue, and gives the run and its Job."""
        run = execute_launch_command(
            instance=self.instance,
            workspace_opts=WorkspaceOpts(workspace=[workspace_of(self.home)]),
            config_json=json.dumps(config or {}),
            tags=json.dumps(tags or {}),
            job_name=job,
        )
        assert self.status(run) == "QUEUED"
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
        assert not any(errors(daemon.run_iteration(self.process)))
        return run, self.job(f"dagster-run-{run.run_id}")

    @contextmanager
    def started_steps(self, job, assets):
        """Executes a run of some assets until each has a pod; gives the Jobs by step.

        The run goes on until the context ends.
        """
        graph = ReconstructableRepository.for_module(
            eks.__name__, "defs", container_image=chart.image(VALUES)
        )
        executed = ReconstructableJob(graph, job)
        selected = {dg.AssetKey(name) for name in assets}
        run = self.instance.create_run_for_job(
            executed.get_definition(),
            asset_selection=frozenset(selected),
            tags=DAY,
            job_code_origin=executed.get_python_origin(),
        )
        with closing(execute_run_iterator(executed, run, self.instance)) as events:
            jobs = {}
            while len(jobs) < len(assets):
                next(events)
                jobs = {
                    each["metadata"]["labels"]["dagster/op"]: each
                    for each in self.api.objects("Job", NAMESPACE)
                    if each["metadata"]["labels"]["dagster/run-id"] == run.run_id
                }
            yield jobs

    def job(self, name):
        found = {each["metadata"]["name"]: each for each in self.api.objects("Job", NAMESPACE)}
        return found.get(name)

    def status(self, run):
        return self.instance.get_run_by_id(run.run_id).status.value

    def monitor(self):
        """A round of the daemon's run monitoring."""
        logger = logging.getLogger(__name__)
        assert not any(errors(execute_run_monitoring_iteration(self.process, logger)))


@contextmanager
def cluster_without_nodes(home: Path) -> Iterator[Cluster]:
    """The cluster, whose instance is in a folder."""
    port = free_port()
    with ExitStack() as stack:
        api = stack.enter_context(kubernetes_api())
        config = chart.instance_config(stack.enter_context(storage()))
        config["run_launcher"]["config"] |= {
            "load_incluster_config": False,
            "kubeconfig_file": str(api.kubeconfig(home / "kubeconfig")),
        }
        config["local_artifact_storage"] = {
            "module": "dagster._core.storage.root",
            "class": "LocalArtifactStorage",
            "config": {"base_dir": READ_ONLY},
        }
        (home / "dagster.yaml").write_text(yaml.safe_dump(config))
        server = {"host": "127.0.0.1", "port": port, "location_name": "recsys"}
        Path(workspace_of(home)).write_text(
            yaml.safe_dump({"load_from": [{"grpc_server": server}]})
        )
        stack.enter_context(code_server(port, str(home)))
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(home)))
        target = WorkspaceFileTarget([workspace_of(home)])
        yield Cluster(api, stack.enter_context(WorkspaceProcessContext(instance, target)), home)


@contextmanager
def storage() -> Iterator[Values]:
    """A Postgres as the chart has it, and the values with which processes find it."""
    named, password = VALUES["postgresql"], "of-the-tests"
    with (
        postgres(named["postgresqlUsername"], password, named["postgresqlDatabase"]) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("DAGSTER_PG_PASSWORD", password)
        # The host that the chart names leads nowhere here.
        yield chart.merged(VALUES, {"postgresql": {"postgresqlParams": {"host": folder}}})


@contextmanager
def code_server(port: int, home: str) -> Iterator[None]:
    """The code location's process, with the environment that the chart gives it."""
    environment = {
        **os.environ,
        **eks.ENVIRONMENT,
        "DAGSTER_HOME": home,
        "DAGSTER_CURRENT_IMAGE": chart.image(VALUES),
        "DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT": json.dumps(chart.container_context(VALUES)),
    }
    arguments = chart.code_location(VALUES)["dagsterApiGrpcArgs"]
    command = [sys.executable, "-m", "dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen([*command, *arguments], env=environment) as process:
        try:
            client = DagsterGrpcClient(port=port, host="127.0.0.1")
            wait_for_grpc_server(process, client, command, timeout=int(LIMIT))
            yield
        finally:
            process.terminate()


def errors(iteration):
    """What a loop of the daemon reports beside its time spans."""
    return [each for each in iteration if isinstance(each, SerializableErrorInfo)]


def workspace_of(home):
    return str(home / "workspace.yaml")


def pod_of(job):
    return job["spec"]["template"]["spec"]


def container_of(job):
    (container,) = pod_of(job)["containers"]
    return container


def environment_of(job):
    return {each["name"]: each.get("value", "") for each in container_of(job).get("env", [])}


def is_hardened(job):
    """Nobody's root, nothing to write but what is mounted, no privilege to gain."""
    pod, container = pod_of(job)["securityContext"], container_of(job)["securityContext"]
    return (
        pod["runAsNonRoot"]
        and pod["runAsUser"] == 10001
        and pod["seccompProfile"] == {"type": "RuntimeDefault"}
        and container["readOnlyRootFilesystem"]
        and container["capabilities"] == {"drop": ["ALL"]}
        and not container["allowPrivilegeEscalation"]
    )


def resources_of(work):
    return PODS[work].k8s_config()["container_config"]["resources"]
