"""The process of an agent: its loop, its HTTP server, and its end."""

import logging
import threading
import time
from dataclasses import dataclass

from recsys_assets.serving.agent import Agent
from recsys_assets.serving.agent_http import AgentEndpoints
from recsys_assets.serving.following import POLICIES, Following
from recsys_assets.serving.processes import Address
from recsys_assets.serving.release import Releases
from recsys_assets.serving.stopping import told_to_stop
from recsys_assets.serving.switching import LiveServer
from recsys_assets.settings import Settings
from recsys_assets.storage import Store

_CACHE = "agent"


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
        LiveServer(
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
