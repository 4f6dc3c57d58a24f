"""Pods played by processes: each a Triton and an agent with folders and ports of their own."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonclient.utils import InferenceServerException

from recsys_assets.rollout.agents import Patience, Pods, PodState, ask
from recsys_assets.rollout.fleet import Fleet, PodSize
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import Settings
from recsys_assets.triton.client import RecommendClient
from recsys_assets.triton.server import TritonServer
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.serving.fixtures import settings_in
from recsys_assets_tests.serving.tiny_release import AT
from recsys_assets_tests.waiting import LIMIT, ended

_SENDERS = 64
LARGE = PodSize(memory=3 << 30, models=2 << 30)
# Whether or not the command line knows the command.
_AGENT = (
    "from recsys_assets.cli import main; from recsys_assets.rollout.agent_command import agent; "
    "main.add_command(agent); main()"
)


@contextmanager
def shop_in(home: Path) -> Iterator[Settings]:
    """Settings of an empty store, and of the online store that pods share; only that one runs."""
    settings = settings_in(home)
    Valkey.of(settings).start()
    try:
        yield settings
    finally:
        Valkey.of(settings).stop()


@dataclass
class Pod:
    """One pod; `environ` is what its agent is told beside its own addresses."""

    settings: Settings
    environ: Mapping[str, str]
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def new(cls, home: Path, shop: Settings, environ: Mapping[str, str] | None = None) -> "Pod":
        """A pod with a home of its own over the store and the online store of `shop`."""
        here = settings_in(home)
        settings = replace(
            here, storage_url=shop.storage_url, online_store_url=shop.online_store_url
        )
        return cls(settings, environ or {})

    @property
    def triton(self) -> TritonServer:
        return TritonServer.of(self.settings)

    def start(self, *options: str) -> "Pod":
        """Starts both containers."""
        self.triton.start()
        return self.start_agent(*options)

    def start_agent(self, *options: str) -> "Pod":
        host, port = self.address.split(":")
        where = ("--host", host, "--port", port)
        quick = ("--every", "0.2", "--spread-seconds", "0", "--drain-seconds", "0.5")
        settings = self.settings
        environ = {
            **os.environ,
            "RECSYS_HOME": str(settings.home),
            "RECSYS_STORAGE": settings.storage_url,
            "RECSYS_TRITON_GRPC": settings.triton_grpc,
            "RECSYS_TRITON_REPOSITORY": str(settings.triton_repository),
            **self.environ,
        }
        command = [sys.executable, "-c", _AGENT, "agent", *where, *quick, *options]
        with (settings.home / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        return self

    def kill_agent(self, number: int = signal.SIGKILL) -> int:
        """Ends the agent; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return ended(self.process)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill_agent()
        self.triton.stop()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of what the agent answers; 0 if nobody does."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=LIMIT) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def is_ready(self) -> bool:
        return self.get("/ready")[0] == 200

    def state(self) -> PodState:
        return ask(self.address)

    def serves(self, release: int) -> bool:
        return self.state().serving == release


def fleet_of(pods: list[Pod], canary: list[Pod], seconds: float = LIMIT) -> Fleet:
    """The fleet of these pods, as promotion sees it; pods may join and leave the lists."""
    where = {"agents:1": pods, "canary:1": canary}
    return Fleet(
        Pods("agents:1", lambda service: [pod.address for pod in where[service]]),
        Pods("canary:1", lambda service: [pod.address for pod in where[service]]),
        LARGE,
        Patience(seconds, 0.1),
    )


class Storefront:
    """Sends requests when they are due, each to one of the pods that are ready, in turn.

    It finds out every tenth of a second which those are, as clients behind a service are told. Or
    it leaves that to a `service`, and opens a connection for each request.
    """

    def __init__(self, pods: list[Pod], service: str) -> None:
        self._pods, self._service = pods, service
        self._ready: list[Pod] = []
        self._clients: dict[str, RecommendClient] = {}
        self._connecting = threading.Lock()
        self._done = threading.Event()
        self.outcomes = Counter[str]()

    def look(self) -> None:
        self._ready = [pod for pod in list(self._pods) if pod.is_ready()]

    def follow(self) -> None:
        while not self._done.wait(0.1):
            self.look()

    def pace(self, per_second: float) -> None:
        sent, due = [], time.monotonic()
        # No thread for each request: the HTTP client opens files in every thread, for good.
        with ThreadPoolExecutor(_SENDERS) as senders:
            while not self._done.is_set():
                sent.append(senders.submit(self.send, len(sent)))
                due += 1 / per_second
                time.sleep(max(0.0, due - time.monotonic()))
        for request in sent:
            request.result()

    def send(self, number: int) -> None:
        if self._service:
            with RecommendClient(self._service, http=True, probe=True) as client:
                self.ask(client)
            return
        ready = self._ready
        if not ready:
            said = [pod.get("/ready")[1] for pod in self._pods]
            self.outcomes[f"no pod is ready: {said}"] += 1
            return
        address = ready[number % len(ready)].settings.triton_grpc
        with self._connecting:
            if address not in self._clients:
                self._clients[address] = RecommendClient(address, probe=True)
        self.ask(self._clients[address])

    def ask(self, client: RecommendClient) -> None:
        try:
            answer = client.recommend("", AT)
        except (InferenceServerException, OSError) as error:
            self.outcomes[f"failed: {error}"] += 1
            return
        of_release = {int(item.split("-")[0]) for item in answer.item_ids}
        self.outcomes["sound" if of_release == {answer.release} else "mixed"] += 1

    def close(self) -> None:
        self._done.set()


@contextmanager
def storefront(
    pods: list[Pod], per_second: float = 40.0, service: str = ""
) -> Iterator[Counter[str]]:
    """Yields what came of the requests so far: "sound", or what went wrong."""
    shop = Storefront(pods, service)
    shop.look()
    threads = [
        threading.Thread(target=shop.follow),
        threading.Thread(target=shop.pace, args=(per_second,)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield shop.outcomes
    finally:
        shop.close()
        for thread in threads:
            thread.join()
