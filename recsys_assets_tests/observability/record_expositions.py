"""Records what real processes tell Prometheus in the states that alerts are about.

    python -m recsys_assets_tests.observability.record_expositions

Each state is a folder below `expositions/`, with two scrapes of every process some seconds apart:
`agent.prom`, `agent.later.prom` and so on. An empty file is a scrape that failed. Kept are the
metrics that rules name. `test_expositions.py` holds the rules against it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client.parser import text_string_to_metric_families

from recsys_assets.releases.release import Reason, Releases
from recsys_assets.services import deployment
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import Settings
from recsys_assets.triton.client import RecommendClient
from recsys_assets.triton.metric_names import DEGRADED
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.observability.watching import rules
from recsys_assets_tests.serving.fixtures import settings_in
from recsys_assets_tests.serving.pods import Pod
from recsys_assets_tests.serving.tiny_release import AT, publish_tiny_release
from recsys_assets_tests.waiting import LIMIT, until
from tools.dashboards.names import named, recorded

FOLDER = Path(__file__).parent / "expositions"
SECONDS_BETWEEN = 3.0
BECAUSE = Reason("a recording", "record_expositions")
# Each of its processes takes as long to load as both scrapes.
SLOW_TO_LOAD = "\n\nimport time\n\ntime.sleep(15.0)\n"
_EXPORTER = "from recsys_assets.cli import main; main()"


class Shop:
    """One pod, an exporter and an online store over an empty store."""

    def __init__(self, home: Path) -> None:
        self.settings: Settings = settings_in(home / "shop")
        self.valkey = Valkey.of(self.settings)
        self.releases: Releases = deployment.releases(self.settings)
        store = {"RECSYS_ONLINE_STORE_URL": self.settings.online_store_url}
        self.pod = Pod.new(home / "pod", self.settings, store)
        self.exporter = f"127.0.0.1:{free_port()}"

    def promote(self, release: int) -> int:
        """Records a release as live, as promotion would after its proof on the canary."""
        last = self.releases.promoted()
        before = (*last.before, last.release) if last else ()
        return self.releases.record(release, before, BECAUSE).release

    def ask(self) -> None:
        with RecommendClient(self.pod.settings.triton_grpc) as client:
            for _ in range(20):
                client.recommend("ann", AT)

    def record(self, state: str, asked: bool = False, degraded: bool = False) -> None:
        """Scrapes everybody twice, again while a busy machine makes for other answers."""
        folder = FOLDER / state

        def is_recorded() -> bool:
            self._scrape(folder, asked)
            return _grows(folder, DEGRADED) == degraded

        until(is_recorded)

    def _scrape(self, folder: Path, asked: bool) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for ending in ("prom", "later.prom"):
            if asked:
                self.ask()
            for job, address in (
                ("agent", self.pod.address),
                ("triton", self.pod.settings.triton_metrics),
                ("exporter", self.exporter),
            ):
                (folder / f"{job}.{ending}").write_text(_kept(_scraped(address)))
            if ending == "prom":
                time.sleep(SECONDS_BETWEEN)


def samples(file: Path) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Values of a recorded scrape by name and labels."""
    families = text_string_to_metric_families(file.read_text())
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def _grows(folder: Path, counter: str) -> bool:
    """Whether the served model counted more at the second scrape."""
    first, later = (
        sum(value for (name, _), value in samples(folder / file).items() if name == counter)
        for file in ("triton.prom", "triton.later.prom")
    )
    return later > first


def main() -> None:
    """Records all states, in the order of a shop's first day."""
    with TemporaryDirectory() as home, ExitStack() as opened:
        shop = Shop(Path(home))
        shop.valkey.start()
        opened.callback(shop.valkey.stop)
        opened.callback(shop.pod.stop)
        opened.enter_context(_exporter(shop))
        shop.pod.start()
        until(lambda: shop.pod.get("/live")[0] == 200)
        until(lambda: bool(_scraped(shop.exporter)))
        first = publish_tiny_release(shop.releases, code=SLOW_TO_LOAD)
        time.sleep(SECONDS_BETWEEN)
        shop.record("no release yet")

        shop.promote(first)
        time.sleep(SECONDS_BETWEEN)
        shop.record("first release loads")
        until(shop.pod.is_ready)
        shop.record("answers", asked=True)

        second = shop.promote(publish_tiny_release(shop.releases, code=SLOW_TO_LOAD))
        time.sleep(SECONDS_BETWEEN)
        shop.record("next release loads", asked=True)
        until(lambda: shop.pod.serves(second))
        shop.record("next release answers", asked=True)

        shop.valkey.stop()
        shop.record("online store is down", asked=True, degraded=True)
        shop.valkey.start()

        record = Path(shop.releases.url.removeprefix("file://")) / "promoted.json"
        whole = record.read_bytes()
        record.write_text("{")
        time.sleep(SECONDS_BETWEEN)
        shop.record("record is damaged", asked=True)
        record.write_bytes(whole)

        pid = shop.pod.triton.daemon.pid
        assert pid is not None
        os.killpg(pid, signal.SIGKILL)
        time.sleep(SECONDS_BETWEEN)
        shop.record("server is down")


@contextmanager
def _exporter(shop: Shop) -> Iterator[None]:
    host, port = shop.exporter.split(":")
    environ = {
        **os.environ,
        "RECSYS_HOME": str(shop.settings.home),
        "RECSYS_STORAGE": shop.settings.storage_url,
        "RECSYS_ONLINE_STORE_URL": shop.settings.online_store_url,
    }
    options = ["exporter", "--host", host, "--port", port, "--every", "0.5"]
    with subprocess.Popen([sys.executable, "-c", _EXPORTER, *options], env=environ) as process:
        try:
            yield
        finally:
            process.terminate()


def _scraped(address: str) -> str:
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=LIMIT) as answer:
            return answer.read().decode()
    except urllib.error.URLError:
        return ""


def _kept(exposition: str) -> str:
    """Samples of metrics that rules name, but for how fast the recording machine was."""
    wanted = {name for rule in rules() for name in named(rule["expr"])} - recorded()
    wanted = {name for name in wanted if not name.endswith(("_summary_us", "_bucket"))}
    lines = exposition.splitlines()
    samples = [line for line in lines if not line.startswith("#") and _name(line) in wanted]
    return "".join(f"{line}\n" for line in sorted(samples))


def _name(line: str) -> str:
    (family,) = text_string_to_metric_families(f"{line}\n")
    return family.samples[0].name


if __name__ == "__main__":
    main()
