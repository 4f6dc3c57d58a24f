"""Load on a running server, from a generator in a process of its own."""

import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.serving import generator
from benchmarks.serving.generator import READY
from benchmarks.serving.layouts import Running
from benchmarks.serving.outcomes import Outcomes, read_record
from benchmarks.serving.plan import Plan, Record
from benchmarks.serving.requests import Population
from benchmarks.serving.wire import METHOD, Terms, encode

OWN = "bench-serving:"
_HEAD_START_SECONDS = 0.1
_CLOSED_LOOP_ROOM = 4000  # requests a second that a closed loop has in store at most


class BrokenGenerator(RuntimeError):
    """The load generator ended early; what it said is above."""


@dataclass(frozen=True)
class Manner:
    """How requests are sent.

    Attributes:
        deadline_ms: after which a request counts as failed; the server is told.
        connections: HTTP/2 connections, used in turn.
        terms: kinds of requests with the share of each; shares add up to 1.
    """

    deadline_ms: int = 2000
    connections: int = 4
    terms: tuple[tuple[Terms, float], ...] = ((Terms(), 1.0),)


class Generation:
    """One generator: made ready, begun at a moment, and waited for."""

    def __init__(self, plan: Plan, priority: np.ndarray, folder: Path) -> None:
        self._plan, self._priority = plan, priority
        name = uuid.uuid4().hex
        self._plan_file, self._result = folder / f"{name}.npz", folder / f"{name}-result.npz"
        plan.save(self._plan_file)
        command = [sys.executable, "-m", generator.__name__]
        self._process = subprocess.Popen(
            [*command, str(self._plan_file), str(self._result)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._began_at = self._begin = 0.0

    @property
    def second(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begin

    def wait_until(self, second: float) -> None:
        """Sleeps until so many seconds after the beginning."""
        time.sleep(max(0.0, second - self.second))

    def begin(self, moment: float | None = None) -> float:
        """Waits until it is ready and lets it begin at `moment`, or in an instant.

        Args:
            moment: seconds of the monotonic clock.

        Returns:
            The moment.

        Raises:
            BrokenGenerator: it has ended, because nothing listens at the address for instance.
        """
        line = self._process.stdout.readline() if self._process.stdout else ""
        if line.strip() != READY or self._process.stdin is None:
            raise BrokenGenerator(
                f"the load generator for {self._plan.address} did not get ready: its error is above"
            )
        begin = time.monotonic() + _HEAD_START_SECONDS if moment is None else moment
        self._begin, self._began_at = begin, time.time() + begin - time.monotonic()
        self._process.stdin.write(f"{begin!r}\n")
        self._process.stdin.flush()
        return begin

    def finish(self) -> Outcomes:
        """Waits for its end.

        Raises:
            BrokenGenerator: it failed.
        """
        self._process.communicate()
        if self._process.returncode != 0:
            raise BrokenGenerator(
                f"the load generator ended with status {self._process.returncode}: "
                "its error is above"
            )
        record = Record.load(self._result)
        for file in (self._plan_file, self._result):
            file.unlink()
        plan = self._plan
        if not plan.concurrency:
            return read_record(record, plan.due, self._priority, self._began_at, plan.deadline_ms)
        sent = ~np.isnan(record.sent)
        outcomes = read_record(
            record, record.sent, self._priority, self._began_at, plan.deadline_ms
        )
        return outcomes.take(np.flatnonzero(sent))

    def cancel(self) -> None:
        """Ends it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        if self._process.stdout is not None and not self._process.stdout.closed:
            self._process.communicate()


@dataclass(frozen=True)
class Load:
    """Visitors of one server.

    Attributes:
        running: the server.
        population: who asks.
        manner: how.
        seed: of arrivals and requests; each run has another, made from it.
    """

    running: Running
    population: Population
    manner: Manner = Manner()
    seed: int = 1

    def with_seed(self, seed: int) -> "Load":
        """The same with another seed."""
        return replace(self, seed=seed)

    def open(self, due: np.ndarray) -> Outcomes:
        """Sends a request at each of the given times, whether or not others are answered."""
        with self.begun(due) as generation:
            return generation.finish()

    def closed(self, concurrency: int, seconds: float) -> Outcomes:
        """Keeps so many requests in flight all the time."""
        due = np.linspace(0, seconds, int(seconds * _CLOSED_LOOP_ROOM))
        with self.begun(due, concurrency) as generation:
            return generation.finish()

    @contextmanager
    def begun(self, due: np.ndarray, concurrency: int = 0) -> Iterator[Generation]:
        """A generator that has begun with `due`; whatever happens, it is ended."""
        with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
            generation = self.generation(due, Path(folder), concurrency)
            try:
                generation.begin()
                yield generation
            finally:
                generation.cancel()

    def generation(self, due: np.ndarray, folder: Path, concurrency: int = 0) -> Generation:
        """A generator that gets ready; its files are in `folder`."""
        return Generation(*self.plan(due, concurrency), folder)

    def plan(self, due: np.ndarray, concurrency: int = 0) -> tuple[Plan, np.ndarray]:
        """A plan for the generator, and the priority of each request int64 [n]."""
        kinds = [terms for terms, _ in self.manner.terms]
        shares = [share for _, share in self.manner.terms]
        drawn = np.random.default_rng(self.seed).choice(len(kinds), size=len(due), p=shares)
        terms: Sequence[Terms] = [kinds[kind] for kind in drawn]
        requests = self.population.draw(len(due), self.seed)
        payloads = encode(requests, terms, self.running.model, f"{OWN}{uuid.uuid4().hex}")
        plan = Plan(
            due,
            payloads,
            self.running.grpc,
            METHOD,
            self.manner.deadline_ms,
            self.manner.connections,
            concurrency,
        )
        return plan, np.array([one.priority for one in terms], dtype=np.int64)
