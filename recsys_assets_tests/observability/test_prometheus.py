"""A real Prometheus with the committed configuration scrapes a real Triton and a watchdog."""

import json
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from recsys_assets.releases.release import Reason
from recsys_assets.rollout.promotion import promote
from recsys_assets.rollout.watch_metrics import WatchMetrics
from recsys_assets.services import deployment
from recsys_assets.services.watchdog import heal_services
from recsys_assets.settings import REPOSITORY
from recsys_assets.triton.client import RecommendClient
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.serving.fixtures import settings_in
from recsys_assets_tests.serving.twin_release import publish_twin_release
from recsys_assets_tests.waiting import until
from tools.dashboards.names import TRITON, watched

pytestmark = pytest.mark.integration

FOLDER = REPOSITORY / "observability"
COMMITTED = {
    "triton": "127.0.0.1:8702",
    "watchdog": "127.0.0.1:8703",
    "recommend": "127.0.0.1:8090",
    "events": "127.0.0.1:8091",
    "exporter": "127.0.0.1:8092",
    "events-landing": "127.0.0.1:8093",
}
RUNNING = {"triton", "watchdog"}


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """Addresses of the metrics of a Triton that has answered, and of its watchdog."""
    settings = settings_in(tmp_path_factory.mktemp("home"))
    try:
        deployment.up(settings)
        releases = deployment.releases(settings)
        release = publish_twin_release(releases)
        promote(releases, deployment.embedded_server(settings), release, Reason("a test", "pytest"))
        metrics, port = WatchMetrics(), free_port()
        metrics.serve(port)
        assert heal_services(settings, metrics) == []
        with RecommendClient(settings.triton_grpc, probe=True) as client:
            client.recommend("ann", 1_506_816_000)
        yield {"triton": settings.triton_metrics, "watchdog": f"127.0.0.1:{port}"}
    finally:
        deployment.down(settings)


@pytest.fixture(scope="module")
def prometheus(targets, tmp_path_factory):
    """Address of a Prometheus that scrapes them, every second."""
    folder = tmp_path_factory.mktemp("prometheus")
    shutil.copytree(FOLDER / "rules", folder / "rules")
    config = (FOLDER / "prometheus.yml").read_text()
    for job, address in COMMITTED.items():
        assert address in config
        config = config.replace(address, targets.get(job, f"127.0.0.1:{free_port()}"))
    config = re.sub(r"(interval|timeout): \ds", r"\1: 1s", config)
    (folder / "prometheus.yml").write_text(config)
    path = f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin"
    binary = shutil.which("prometheus", path=path)
    assert binary, (
        "prometheus is missing: run `make setup-test`, or `apt-get install -y prometheus`"
    )
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen(
        [
            binary,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield address
    finally:
        server.terminate()
        server.wait()


def ask(address, path, **parameters):
    url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - loopback
        return json.load(answer)["data"]


def scraped(address, up=1):
    """Jobs that were scraped, or (0) that could not be; none while the server is starting."""
    try:
        series = ask(address, "query", query=f"up == {up}")["result"]
    except OSError:
        return set()
    return {one["metric"]["job"] for one in series}


def names(address):
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        return set(re.findall(r"^(\w+)", answer.read().decode(), re.MULTILINE))


def test_triton_tells_what_rules_and_dashboard_name(targets):
    assert names(targets["triton"]) >= TRITON


def test_the_watchdog_does(targets):
    assert names(targets["watchdog"]) >= watched()


def test_all_is_scraped_and_every_rule_can_be_evaluated(prometheus):
    until(lambda: scraped(prometheus) == RUNNING)
    assert until(lambda: evaluated(prometheus)) == {"ok"}


def test_what_does_not_run_is_told_by_name(prometheus):
    until(lambda: scraped(prometheus, up=0) == set(COMMITTED) - RUNNING)


def evaluated(address):
    """What became of the evaluation of all rules; empty while one of them is still to come."""
    groups = ask(address, "rules")["groups"]
    health = {rule["health"] for group in groups for rule in group["rules"]}
    return set() if "unknown" in health else health
