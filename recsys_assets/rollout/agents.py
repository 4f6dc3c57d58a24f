"""The agents beside the Triton servers of a cluster, as one sees them from outside.

Each pod's agent (`agent.py`) says over HTTP which release its server is to answer with, which one
it does answer with, and what hinders it. A headless service names the addresses of all of them.
"""

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

from recsys_assets.rollout.release_target import PromotionError
from recsys_assets.runtime.processes import Address
from recsys_assets.settings import WAIT_SECONDS

Addresses = Callable[[str], list[str]]

_GRPC_PORT = 8001  # of pods whose agents, of an earlier version, do not say it
_ASK_SECONDS = 10.0  # an agent asks its server before it answers
_AT_ONCE = 16
# What fails once may succeed at the next look: it must be said so often in a row.
_SAID = 3


@dataclass(frozen=True)
class PodState:
    """What the agent of one pod says of its server.

    Attributes:
        address: of the agent, host:port.
        wanted: the release that it brings the server to, None if it knows of none.
        serving: the release that answered a real inference just now, None if none did.
        degraded: whether that answer was.
        error: what hinders it, or why it could not be asked; else empty.
        failed: whether that came of trying the wanted release: to wait longer is of little use.
        asked: whether it answered at all.
        grpc: where the server itself is asked, host:port; empty if that is not known.
    """

    address: str
    wanted: int | None = None
    serving: int | None = None
    degraded: bool = False
    error: str = ""
    failed: bool = False
    asked: bool = True
    grpc: str = ""

    def __str__(self) -> str:
        serving = "nothing" if self.serving is None else f"release {self.serving}"
        return f"{self.address} serves {serving}" + (f" ({self.error})" if self.error else "")


Counted = Callable[[PodState], bool]


@dataclass(frozen=True)
class Patience:
    """How long pods may take, and how many of them may be left behind.

    Attributes:
        seconds: until all pods answer with another release: a download and a load.
        every: seconds between two looks.
        most_behind: share of the pods that may not get there, as one whose node has just died.
    """

    seconds: float = WAIT_SECONDS
    every: float = 1.0
    most_behind: float = 0.2


def resolve(address: str) -> list[str]:
    """Every address, host:port, behind the name of a headless service.

    Raises:
        PromotionError: the name cannot be resolved.
    """
    service = Address.parse(address)
    try:
        found = socket.getaddrinfo(
            service.host, service.port, family=socket.AF_INET, type=socket.SOCK_STREAM
        )
    except socket.gaierror as error:
        raise PromotionError(
            f"{address} cannot be resolved ({error.strerror}): no pod is behind that service, or "
            "RECSYS_TRITON_AGENTS or RECSYS_CANARY_AGENTS names another one"
        ) from None
    return sorted({f"{endpoint[0]}:{service.port}" for *_, endpoint in found})


def ask(address: str) -> PodState:
    """What one agent says; one that cannot be asked is said to be so."""
    try:
        with urlopen(f"http://{address}/release", timeout=_ASK_SECONDS) as answer:
            said: dict[str, Any] = json.load(answer)
        return PodState(
            address,
            said["wanted"],
            said["serving"],
            bool(said["degraded"]),
            str(said["error"]),
            bool(said["failed"]),
            grpc=str(Address(Address.parse(address).host, said.get("grpc_port", _GRPC_PORT))),
        )
    except (OSError, ValueError, KeyError) as error:
        return PodState(address, error=f"not reached: {error}", asked=False)


@dataclass(frozen=True)
class Pods:
    """The pods behind a headless service; `addresses` finds them, anew at every look."""

    service: str
    addresses: Addresses = resolve

    def states(self) -> list[PodState]:
        """What every agent says, asked at once; no pod at all is one that cannot be asked."""
        try:
            found = self.addresses(self.service)
        except PromotionError as error:
            return [PodState(self.service, error=str(error), asked=False)]
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as threads:
            return list(threads.map(ask, found))

    def wait_for(
        self, release: int, counted: Counted, patience: Patience, log: Callable[[str], object]
    ) -> list[PodState]:
        """Waits until all pods that count answer with a release, or those that do not have failed.

        Args:
            release: the release.
            counted: which pods are waited for.
            patience: for how long.
            log: takes a line whenever more or fewer pods answer with it.

        Returns:
            All pods, as they were at the last look.
        """
        deadline, said, settled = time.monotonic() + patience.seconds, "", 0
        while True:
            states = self.states()
            there = sum(state.serving == release for state in states)
            others = behind(states, release, counted)
            line = f"{there} of {there + len(others)} pods answer with release {release}"
            if line != said:
                log(line)
            said = line
            failed = bool(others) and all(s.failed and s.wanted == release for s in others)
            settled = settled + 1 if failed else 0
            over = settled >= _SAID or time.monotonic() > deadline
            if over or (there and not others):
                return states
            time.sleep(patience.every)


def everyone(_: PodState) -> bool:
    """Waits for all pods."""
    return True


def reachable(state: PodState) -> bool:
    """Waits for pods whose agents answer; another may be waiting for a node, or for its image."""
    return state.asked


def anyone(_: PodState) -> bool:
    """Waits for one pod, whichever comes first: the others are not waited for."""
    return False


def those_that_answer(states: list[PodState]) -> Counted:
    """Waits for pods that answer now, or whenever they are looked at.

    Not for one that is just joining: it gets to the live release by itself, and until then no
    request gets to it.
    """
    known = {state.address for state in states if state.serving is not None}
    return lambda state: state.serving is not None or state.address in known


def behind(states: list[PodState], release: int, counted: Counted = everyone) -> list[PodState]:
    """The pods that do not answer with a release, of those that count."""
    return [state for state in states if state.serving != release and counted(state)]
