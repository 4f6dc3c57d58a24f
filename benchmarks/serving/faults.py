"""Faults under load: the online store stopped and started, a model process killed.

`python -m benchmarks.serving.faults` writes `faults.json` and `faults.png`. The store is
stopped and started by hand, so that the outage lasts as long as it is meant to. Then `recsys
watch` is started, which heals what dies, and a process of the served model is killed.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.serving import report
from benchmarks.serving.arrivals import poisson
from benchmarks.serving.layouts import Ours, Running, stubs_of
from benchmarks.serving.load import OWN, Generation, Load
from benchmarks.serving.outcomes import Outcomes
from benchmarks.serving.own_answers import OwnAnswers, has_prefix
from benchmarks.serving.plots import plot_timeline
from benchmarks.serving.progress import say
from benchmarks.serving.requests import Population, population_of
from benchmarks.serving.timeline import (
    Second,
    by_second,
    late_seconds,
    seconds_until_whole,
    unexpected,
)
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.services import deployment
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import Settings, load_settings
from recsys_assets.storage.filesystem import write_atomically

MOST_SECONDS_UNTIL_WHOLE = 5.0
_RECSYS = "from recsys_assets.cli import main; main()"
_P99_MS = 50.0


@dataclass(frozen=True)
class Script:
    """When what happens; seconds, and requests a second."""

    rate: float = 100.0
    quiet: float = 10.0
    outage: float = 10.0
    settle: float = 15.0
    watch_every: float = 0.5

    @property
    def store_back(self) -> float:
        """When the store is started again."""
        return self.quiet + self.outage

    @property
    def kill(self) -> float:
        """When the model process is killed."""
        return self.store_back + self.settle

    @property
    def seconds(self) -> float:
        """Of all."""
        return self.kill + self.settle


QUICK = Script(rate=50.0, quiet=3.0, outage=3.0, settle=8.0)


@dataclass(frozen=True)
class Moments:
    """When it really happened, seconds after the beginning."""

    store_stopped: float
    store_started: float
    killed: float


def run_faults(
    settings: Settings, running: Running, population: Population, script: Script
) -> tuple[Outcomes, Moments]:
    """Plays the script under load.

    Raises:
        ServiceError: the store does not come back, or there is no model process.
    """
    load = Load(running, population)
    with load.begun(poisson(script.rate, script.seconds, load.seed)) as generation:
        try:
            stopped, started = _restart_store(settings, script, generation)
        finally:
            Valkey.of(settings).start()
        with _watching(script.watch_every):
            generation.wait_until(script.kill)
            killed = generation.second
            _kill_stub(settings, running)
            generation.wait_until(script.seconds)
        return generation.finish(), Moments(stopped, started, killed)


def describe(outcomes: Outcomes, moments: Moments, script: Script) -> dict[str, Any]:
    """The report: each fault with what it cost and when all was whole again, and each second."""
    seconds = by_second(outcomes, int(script.seconds))
    store = seconds_until_whole(seconds, moments.store_started, script.kill)
    stub = seconds_until_whole(seconds, moments.killed, script.seconds)
    return {
        **asdict(script),
        "moments": asdict(moments),
        "online_store": {
            "seconds_until_whole": store,
            "during": _cost(seconds, moments.store_stopped, moments.store_started),
            "after": _cost(seconds, moments.store_started, script.kill),
        },
        "model_process": {
            "seconds_until_whole": stub,
            "after": _cost(seconds, moments.killed, script.seconds),
        },
        "failures": dict(unexpected(outcomes)),
        "met": {
            name: found is not None and found <= MOST_SECONDS_UNTIL_WHOLE
            for name, found in (("online store", store), ("model process", stub))
        },
        "late_generator_seconds": late_seconds(seconds),
        "seconds": [asdict(second) for second in seconds],
    }


def _restart_store(
    settings: Settings, script: Script, generation: Generation
) -> tuple[float, float]:
    """Stops and starts the online store; when each was done."""
    valkey = Valkey.of(settings)
    generation.wait_until(script.quiet)
    stopped = generation.second
    valkey.stop()
    say(f"second {stopped:.1f}: the online store is stopped")
    generation.wait_until(script.store_back)
    valkey.start()
    started = generation.second
    say(f"second {started:.1f}: the online store is started")
    return stopped, started


def _kill_stub(settings: Settings, running: Running) -> None:
    promoted = deployment.releases(settings).promoted()
    release = "" if promoted is None else f" v{promoted.release}"
    stubs = stubs_of(running.processes["tritonserver"])
    serving = sorted(name for name in stubs if name.endswith(release))
    if not serving:
        raise ServiceError(f"no model process of release{release} runs: {sorted(stubs)}")
    os.kill(stubs[serving[0]], signal.SIGKILL)
    say(f"{serving[0]} is killed")


@contextmanager
def _watching(every: float) -> Iterator[None]:
    """`recsys watch` beside; it says what it heals."""
    command = [sys.executable, "-c", _RECSYS, "watch", "--every", str(every)]
    watcher = subprocess.Popen(command, stdout=sys.stderr)
    try:
        yield
    finally:
        watcher.send_signal(signal.SIGINT)
        watcher.wait()


def _cost(seconds: Sequence[Second], begin: float, end: float) -> dict[str, int]:
    """Requests, failures and degraded answers of the seconds that begin from `begin` to `end`."""
    part = [second for second in seconds if begin - 1 < second.second < end]
    return {
        "requests": sum(second.offered for second in part),
        "failed": sum(sum(second.failed.values()) for second in part),
        "degraded": sum(second.degraded for second in part),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it against the deployment of the settings."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    whole = Script()
    for name, value in asdict(whole).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value)
    parser.add_argument("--quick", action="store_true", help="half a minute, for CI")
    chosen = vars(parser.parse_args(arguments))
    script = QUICK if chosen.pop("quick") else Script(**chosen)
    settings = load_settings()
    with Ours(settings).start() as running:
        logged = OwnAnswers(settings.online_store_url, has_prefix(OWN))
        try:
            outcomes, moments = run_faults(settings, running, population_of(settings), script)
        finally:
            logged.remove()
    found = describe(outcomes, moments, script) | {"machine": describe_machine()}
    path = report.write(found, settings.home / "bench", "faults")
    marks = {"store stopped": moments.store_stopped, "store started": moments.store_started}
    marks["process killed"] = moments.killed
    seconds = by_second(outcomes, int(script.seconds))
    picture = plot_timeline(seconds, marks, f"faults at {script.rate:g} requests/s", _P99_MS)
    write_atomically(path.with_suffix(".png").as_uri(), picture)
    for name in ("online_store", "model_process", "failures", "met", "late_generator_seconds"):
        say(f"{name}: {found[name]}")
    say(f"written: {path}")


if __name__ == "__main__":
    main()
