"""The process of an agent, and what it says over HTTP to the kubelet, promotions and Prometheus.

    /live     200 while the agent looks after its server
    /ready    200 if a real request was answered just now, by a release that is in order
    /release  JSON: what is wanted, what answers, whether degraded, what hinders the agent,
              whether that came of trying the wanted release, and the port that the server is asked
    /metrics  Prometheus

A pod that loads another release stays ready: its old one answers. One that is to end does not, so
that requests go elsewhere, and goes on answering those that still come.
"""

import json
import logging
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from recsys_assets.releases.release import Releases
from recsys_assets.rollout.agent import Agent
from recsys_assets.rollout.faults import Probe, probe
from recsys_assets.rollout.following import POLICIES, Following
from recsys_assets.rollout.single_server import SingleServer
from recsys_assets.runtime.processes import Address
from recsys_assets.runtime.stopping import told_to_stop
from recsys_assets.settings import Settings
from recsys_assets.storage import Store

# An answer says how a server is for so long.
_FRESH_SECONDS = 1.0
# Any id will do: that there is one lets the answer tell whether the online store is reached.
_USER = "health"
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
Answer = tuple[int, str, bytes]
_CACHE = "agent"


class AgentEndpoints:
    """Answers for an agent whose loop runs in `loop`; `draining` is set once the pod is to end."""

    def __init__(self, agent: Agent, loop: threading.Thread, draining: threading.Event) -> None:
        self._agent = agent
        self._loop = loop
        self._draining = draining
        self._asking = threading.Lock()
        self._probe: Probe | None = None
        self._probed_at = float("-inf")

    def serve(self, address: Address) -> ThreadingHTTPServer:
        """Answers at an address, until the returned server is shut down."""
        server = ThreadingHTTPServer((address.host, address.port), self._handler())
        threading.Thread(target=server.serve_forever, name="agent http", daemon=True).start()
        return server

    def live(self) -> Answer:
        """Whether the loop runs, or has been told to end."""
        if not self._loop.is_alive() and not self._draining.is_set():
            return 503, _TEXT, b"the loop has ended"
        return (503, _TEXT, b"a look hangs") if self._agent.hangs else (200, _TEXT, b"ok")

    def ready(self) -> Answer:
        """Whether requests should come here; if not, why."""
        why = self._unready()
        return (503, _TEXT, why.encode()) if why else (200, _TEXT, b"ok")

    def release(self) -> Answer:
        """What is wanted, and what answers."""
        wanted, answer = self._agent.following.wanted, self._answer()
        fails = self._fails(answer)
        if fails:  # perhaps from before it was loaded
            answer = self._answer(anew=True)
            fails = self._fails(answer)
        said: dict[str, Any] = {
            "wanted": wanted.release if wanted else None,
            "serving": answer.release,
            "degraded": answer.degraded,
            "error": self._agent.error or ("" if answer.release else answer.message),
            "failed": self._agent.failed or fails,
            "grpc_port": Address.parse(self._agent.server.grpc).port,
        }
        return 200, _JSON, json.dumps(said).encode()

    def metrics(self) -> Answer:
        """What the agent has found."""
        return 200, CONTENT_TYPE_LATEST, generate_latest(self._agent.metrics.registry)

    def _fails(self, answer: Probe) -> bool:
        """Whether the wanted release fails requests, although it was loaded and proved.

        What a server refuses while it starts, loads or is busy says nothing about the release.
        """
        wanted = self._agent.following.wanted
        proved = wanted is not None and self._agent.has_proved(wanted.release)
        return proved and not self._agent.error and answer.outcome == "failed"

    def _unready(self) -> str:
        if self._draining.is_set():
            return "draining"
        accepted = self._agent.accepted
        answer = self._answer()
        if answer.release not in {None, *self._agent.accepted}:  # perhaps from before a switch
            answer = self._answer(anew=True)
        if answer.outcome == "busy":  # sent elsewhere, its requests would overload the others too
            return ""
        if answer.release is None:
            return self._agent.error or answer.message
        if answer.release not in accepted | self._agent.accepted:
            return f"release {answer.release} answers; {self._agent.error}"
        return ""

    def _answer(self, anew: bool = False) -> Probe:
        """A real request's outcome; unless asked anew, at most a second old, however many ask."""
        with self._asking:
            old = time.monotonic() - self._probed_at > _FRESH_SECONDS
            if anew or old or self._probe is None:
                self._probe = probe(self._agent.server.grpc, _USER)
                self._probed_at = time.monotonic()
            return self._probe

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        routes = {
            "/live": self.live,
            "/ready": self.ready,
            "/release": self.release,
            "/metrics": self.metrics,
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                route = routes.get(self.path)
                status, kind, body = route() if route else (404, _TEXT, b"no such page")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Probes come every second: nothing is written about them."""

        return Handler


@dataclass(frozen=True)
class AgentOptions:
    """How one agent is run.

    Attributes:
        follow: `promoted` or `newest`.
        address: to answer on.
        kind: what the models compute on, `repository.ON_CPU` or `ON_GPU`.
        every: seconds between two looks.
        spread_seconds: see `agent.py`.
        drain_seconds: how long it goes on answering, as not ready, once told to end.
    """

    follow: str
    address: Address
    kind: str
    every: float
    spread_seconds: float
    drain_seconds: float


def run_agent(settings: Settings, options: AgentOptions) -> None:
    """Looks after the server of the settings until SIGTERM or SIGINT.

    From then on nothing is begun. What is being loaded at that moment is left half-way, as a kill
    would leave it: whoever comes next finds out by asking the server.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = told_to_stop()
    releases = Releases(Store(settings.storage_url, settings.home / _CACHE))
    agent = Agent(
        Following(releases, POLICIES[options.follow]),
        SingleServer(
            settings.triton_grpc, settings.triton_repository, options.kind, settings.wait_seconds
        ),
        options.spread_seconds,
    )
    loop = threading.Thread(target=agent.run, args=(stop, options.every), name="agent", daemon=True)
    loop.start()
    server = AgentEndpoints(agent, loop, stop).serve(options.address)
    stop.wait()
    time.sleep(options.drain_seconds)
    server.shutdown()
