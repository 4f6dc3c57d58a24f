"""The load generator, a process of its own: `python -m ...generator PLAN RESULT`.

It reads a plan, says that it is ready, is told when to begin (seconds of the monotonic clock, which
all processes of a machine share), sends each request when it is due and writes down when it was
sent and when its answer was back. `load.py` is the other end.
"""

import selectors
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.serving.http2 import UNAVAILABLE, BrokenConnection, Call, Connection
from benchmarks.serving.plan import Plan, Record

READY = "ready"
_RECONNECT_SECONDS = 0.2


class _Lines:
    """The open connections; a broken one is opened again after a moment."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._open: list[Connection] = []
        self._selector = selectors.DefaultSelector()
        self._next_attempt = 0.0
        self._turn = 0

    def choose(self) -> Connection | None:
        """The next one in turn; None while the server takes no connections."""
        missing = len(self._open) < self._plan.connections
        if missing and time.monotonic() >= self._next_attempt:
            self._connect()
        if not self._open:
            return None
        self._turn = (self._turn + 1) % len(self._open)
        return self._open[self._turn]

    def ended(self, seconds: float) -> Iterator[Call]:
        """Waits for something to come, no longer than `seconds`; yields calls that have ended."""
        if not self._open:
            time.sleep(seconds)
            return
        for key, _ in self._selector.select(seconds):
            try:
                yield from key.data.receive()
            except BrokenConnection as error:
                yield from self.drop(key.data, str(error))

    def drop(self, connection: Connection, reason: str) -> Iterator[Call]:
        """Gives a connection up; yields its calls as failed."""
        self._open.remove(connection)
        self._selector.unregister(connection)
        for call in connection.abandon():
            call.status, call.message = UNAVAILABLE, reason
            yield call

    def close(self) -> None:
        """Closes all."""
        for connection in self._open:
            connection.abandon()
        self._open = []
        self._selector.close()

    def _connect(self) -> None:
        plan = self._plan
        try:
            while len(self._open) < plan.connections:
                connection = Connection(plan.address, plan.method, plan.deadline_ms)
                self._selector.register(connection, selectors.EVENT_READ, connection)
                self._open.append(connection)
        except OSError:
            # The server is away: what is due meanwhile counts as failed.
            self._next_attempt = time.monotonic() + _RECONNECT_SECONDS


class Generator:
    """Sends a plan; `prepare` connects, `run` returns the record."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._record = Record.of(len(plan.due))
        self._lines = _Lines(plan)
        self._begin = 0.0
        self._in_flight = 0

    def prepare(self) -> None:
        """Opens the connections.

        Raises:
            BrokenConnection: nothing listens at the address.
        """
        if self._lines.choose() is None:
            raise BrokenConnection(f"nothing listens at {self._plan.address}")

    def run(self, begin: float) -> Record:
        """Sends everything and waits for the answers, each for as long as its deadline."""
        self._begin = begin
        cpu_before = time.process_time()
        for number in self._numbers():
            self._send(number)
        last_chance = time.monotonic() + self._plan.deadline_ms / 1000
        while self._in_flight and time.monotonic() < last_chance:
            self._take(max(0.0, last_chance - time.monotonic()))
        self._lines.close()
        self._record.cpu_seconds = time.process_time() - cpu_before
        return self._record

    def _numbers(self) -> Iterator[int]:
        """Yields each request when it is time to send it, and takes answers meanwhile."""
        due, limit = (self._begin + self._plan.due).tolist(), self._plan.concurrency
        for number in range(len(due)):
            if limit:
                self._wait_until(self._begin)
                while self._in_flight >= limit:
                    self._take(self._plan.deadline_ms / 1000)
                if time.monotonic() > due[-1]:
                    return
            else:
                self._wait_until(due[number])
            yield number

    def _wait_until(self, moment: float) -> None:
        """Takes what comes until then, and at least what has come."""
        while True:
            left = moment - time.monotonic()
            self._take(max(0.0, left))
            if left <= 0:
                return

    def _send(self, number: int) -> None:
        record, message = self._record, self._plan.payloads[number]
        record.sent[number] = time.monotonic() - self._begin
        connection = self._lines.choose()
        self._in_flight += 1
        if connection is None:
            self._note(Call(number, UNAVAILABLE, "the server takes no connections"))
            return
        try:
            connection.send(number, message)
        except OSError as error:
            for call in self._lines.drop(connection, f"the connection broke: {error}"):
                self._note(call)

    def _take(self, seconds: float) -> None:
        for call in self._lines.ended(seconds):
            self._note(call)

    def _note(self, call: Call) -> None:
        record = self._record
        self._in_flight -= 1
        record.done[call.number] = time.monotonic() - self._begin
        record.status[call.number] = call.status
        record.responses[call.number] = call.response
        if call.status:
            record.messages[call.number] = call.message


def main(plan_file: str, result_file: str) -> None:
    """Runs a plan; see the module."""
    generator = Generator(Plan.load(Path(plan_file)))
    generator.prepare()
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    generator.run(float(sys.stdin.readline())).save(Path(result_file))


if __name__ == "__main__":
    main(*sys.argv[1:])
