"""What the gateway costs: `python -m benchmarks.storefront`.

The same requests at the same moments (Poisson arrivals, open loop) go to Triton over gRPC and to
the gateway over HTTP, in turn and in the same run, so that both see the same machine. Latencies
count from when a request was due. Client, gateway and Triton share the machine, and the two
clients, grpc.aio and aiohttp, do not cost the same: what is told is the difference to a caller.
"""

import argparse
import asyncio
import multiprocessing
import random
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
from rich.console import Console
from rich.table import Table
from tritonclient.utils import InferenceServerException

from benchmarks.machine import describe_machine
from benchmarks.serving.arrivals import poisson
from benchmarks.serving.measuring import percentiles
from benchmarks.serving.usage import usage_of
from recsys_assets.runtime.waiting import WaitedTooLong
from recsys_assets.settings import load_settings
from recsys_assets.storefront.recommend_service import (
    PATH,
    QueryLimits,
    TritonGateway,
    recommend_service,
    request_tensors,
)
from recsys_assets.storefront.web import Bind, serve
from recsys_assets.triton.client import RequestClass

DIRECT, GATEWAY = "gRPC to Triton", "HTTP to the gateway"
_DEADLINE_MS = 2000
_K, _USERS = 10, 1000

Ask = Callable[[str, int], Awaitable[bool]]


@dataclass(frozen=True)
class Extent:
    """How much is measured: so many rounds of both, each of `seconds` at `rate` a second."""

    rate: float = 100.0
    seconds: float = 15.0
    rounds: int = 3
    warm_up_seconds: float = 2.0


@dataclass(frozen=True)
class Outcome:
    """What came of a round.

    Attributes:
        latency_ms: of what was answered, float64 [n].
        errors: how many were not.
        cpu_ms: of the gateway, for each request; nearly 0 where requests go past it.
    """

    latency_ms: np.ndarray
    errors: int
    cpu_ms: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the Triton of the settings, and prints a table."""
    parser = argparse.ArgumentParser(prog="storefront.bench", description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    machine = describe_machine()
    address = load_settings().triton_grpc
    found = measure(address, Extent(chosen.rate, chosen.seconds, chosen.rounds))
    console, table = (
        Console(),
        Table("", "requests", "p50 ms", "p99 ms", "p50 of rounds", "errors", "CPU ms"),
    )
    for name, rounds in found.items():
        table.add_row(name, *_row(rounds))
    console.print(table)
    console.print(machine, highlight=False)


def measure(address: str, extent: Extent) -> dict[str, list[Outcome]]:
    """Outcomes of each way, by round.

    Args:
        address: host:port of Triton's gRPC endpoint; a gateway to it is started and stopped.
        extent: how much.
    """
    port = _free_port()
    gateway = multiprocessing.get_context("spawn").Process(target=_serve, args=(address, port))
    gateway.start()
    processes = {"gateway": gateway.pid or 0}
    try:
        url = f"http://127.0.0.1:{port}"
        return asyncio.run(_measure(address, url, extent, lambda: _cpu_ms(processes)))
    finally:
        gateway.terminate()
        gateway.join()


def _serve(address: str, port: int) -> None:
    serve(
        *recommend_service(address, QueryLimits(deadline_ms=_DEADLINE_MS)), Bind("127.0.0.1", port)
    )


def _cpu_ms(processes: Mapping[str, int]) -> float:
    return sum(used.cpu_seconds for used in usage_of(processes).values()) * 1000


async def _measure(
    address: str, url: str, extent: Extent, cpu_ms: Callable[[], float]
) -> dict[str, list[Outcome]]:
    triton = TritonGateway(f"dns:///{address}")
    async with aiohttp.ClientSession(url) as session:
        await _until_ready(session, load_settings().wait_seconds)
        ways = {DIRECT: _direct(triton), GATEWAY: _through_gateway(session)}
        found: dict[str, list[Outcome]] = {name: [] for name in ways}
        for ask in ways.values():
            due = poisson(extent.rate, extent.warm_up_seconds, seed=0)
            await _round(ask, due, 0, cpu_ms)
        for number in range(1, extent.rounds + 1):
            due = poisson(extent.rate, extent.seconds, number)
            for name, ask in ways.items():
                found[name].append(await _round(ask, due, number, cpu_ms))
    await triton.close()
    return found


async def _until_ready(session: aiohttp.ClientSession, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not await _is_ready(session):
                await asyncio.sleep(0.2)
    except TimeoutError:
        gateway = "the gateway to be ready (does Triton answer? `recsys status` says it)"
        raise WaitedTooLong(gateway, seconds) from None


async def _is_ready(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:  # it does not listen yet
        return False


async def _round(ask: Ask, due: np.ndarray, seed: int, cpu_ms: Callable[[], float]) -> Outcome:
    """Sends a request at each moment, whether or not others are answered."""
    users, moment = random.Random(seed), int(time.time())  # noqa: S311
    used = cpu_ms()
    begin, latencies = time.perf_counter(), np.full(len(due), np.nan)

    async def one(number: int, user: str) -> None:
        if await ask(user, moment):
            latencies[number] = (time.perf_counter() - begin - due[number]) * 1000

    async with asyncio.TaskGroup() as group:
        for number, when in enumerate(due.tolist()):
            await asyncio.sleep(max(0.0, begin + when - time.perf_counter()))
            group.create_task(one(number, f"user-{users.randrange(_USERS)}"))
    answered = ~np.isnan(latencies)
    cpu = (cpu_ms() - used) / max(1, len(due))
    return Outcome(latencies[answered], int((~answered).sum()), cpu)


def _direct(triton: TritonGateway) -> Ask:
    request_class = RequestClass(deadline_ms=_DEADLINE_MS)

    async def ask(user: str, moment: int) -> bool:
        tensors = request_tensors(user, "", moment, _K)
        try:
            await triton.recommend(tensors, request_class, _DEADLINE_MS / 1000)
        except InferenceServerException:
            return False
        return True

    return ask


def _through_gateway(session: aiohttp.ClientSession) -> Ask:
    async def ask(user: str, moment: int) -> bool:
        asked: dict[str, Any] = {"user_id": user, "at": moment, "k": _K}
        async with session.get(PATH, params=asked) as answer:
            await answer.read()
            return answer.status == 200

    return ask


def _row(rounds: Sequence[Outcome]) -> list[str]:
    latencies = np.concatenate([one.latency_ms for one in rounds])
    all_, each = percentiles(latencies), [percentiles(one.latency_ms) for one in rounds]
    p50s = [one["p50_ms"] for one in each]
    return [
        str(len(latencies)),
        f"{all_['p50_ms']:.2f}",
        f"{all_['p99_ms']:.2f}",
        f"{min(p50s):.2f} to {max(p50s):.2f}",
        str(sum(one.errors for one in rounds)),
        f"{np.mean([one.cpu_ms for one in rounds]):.2f}",
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
