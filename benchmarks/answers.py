"""`python -m benchmarks.answers`: what it takes to collect a day's answers.

Answers as the served model encodes them go into a real Valkey, as fast as it takes them while no
more than some wait there; a process of its own collects them meanwhile, and merges the day at the
end. A hundredth is sent twice. Peak memory is the process's own (`VmHWM`), with all that it has
imported. Writes `bench/answers.json` below `RECSYS_HOME`.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import redis

from benchmarks.machine import describe_machine
from recsys_assets.features.declarations import USER_FEATURES
from recsys_assets.models.training import peak_memory_gib
from recsys_assets.monitoring.answer_parts import ROWS
from recsys_assets.monitoring.request_log import Collected, Collector
from recsys_assets.pipeline.request_log import STREAM, Answer
from recsys_assets.releases.release import MANIFEST, Releases
from recsys_assets.runtime.processes import Address, free_addresses
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import write_atomically
from recsys_assets.storage.resp import Packed, bulk, exchange
from recsys_assets.triton.repository import PIPELINE

_DAY = datetime(2026, 11, 23, tzinfo=UTC)
_SECONDS_OF_A_DAY = 86_400
_TEMPLATES, _USERS = 2_000, 100_000
_AT_ONCE = 100
_TWICE = 100  # one of so many answers is sent again
_WAITING = 100_000  # answers that may wait in the stream
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Shape:
    """How large an answer and its release are."""

    candidates: int = 300
    shown: int = 10
    items: int = 92_331


@dataclass(frozen=True)
class Taken:
    """What collecting a day took: peaks of resident memory in MB, and seconds."""

    answers: int
    imported_mb: float
    draining_mb: float
    merging_mb: float
    draining_seconds: float
    merging_seconds: float
    partition_mb: float
    bytes_an_answer: int


def main() -> None:
    """Measures a fifth of the answers, then all of them: the peak must not grow with them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=5_000_000, help="of a day (5,000,000)")
    parser.add_argument("--turns", type=int, default=1, help="of each size (default: 1)")
    asked = parser.parse_args()
    home, machine, shape = load_settings().home, describe_machine(), Shape()
    click.echo(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before']}")
    click.echo(f"{shape}; {ROWS:,} rows at a time, at most {_WAITING:,} in the stream")
    found = []
    for answers in (asked.answers // 5, asked.answers):
        for _ in range(asked.turns):
            taken = measure(answers, shape)
            click.echo(", ".join(f"{name} {value:,}" for name, value in asdict(taken).items()))
            found.append(asdict(taken))
    target = home / "bench" / "answers.json"
    result = {"machine": machine, "rows_at_a_time": ROWS, **asdict(shape), "runs": found}
    write_atomically(target.as_uri(), json.dumps(result, indent=2).encode())
    click.echo(f"written: {target}")


def measure(answers: int, shape: Shape) -> Taken:
    """Collects so many answers of one day.

    Raises:
        RuntimeError: not every answer is in the day's partition once.
    """
    (address,) = free_addresses(1)
    with tempfile.TemporaryDirectory(prefix="bench-answers-") as folder:
        store = Store((Path(folder) / "store").as_uri())
        _lay_out(store, shape)
        valkey = Valkey(address, Path(folder) / "valkey")
        valkey.start()
        try:
            return _measure(address, store, answers, shape)
        finally:
            valkey.stop()


def _measure(address: Address, store: Store, answers: int, shape: Shape) -> Taken:
    url = f"redis://{address}/0"
    client = redis.Redis.from_url(url)
    client.config_set("appendonly", "no")  # its file would hold every answer that ever came
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as sender, ProcessPoolExecutor(1, spawn) as collector:
        imported = collector.submit(_peak_mb).result()
        sent = sender.submit(_send, url, answers, shape)
        started = time.perf_counter()
        draining = _drain(collector, sent, client, url, store)
        size = sent.result()
        drained = time.perf_counter()
        collected, merging = collector.submit(_merge, url, store.url).result()
        merged = time.perf_counter()
    if (collected.rows, collected.waiting, client.xlen(STREAM)) != (answers, 0, 0):
        raise RuntimeError(f"{answers} answers were sent, and this came of them: {collected}")
    partition = Path(store.table("request_log").path(_day()).removeprefix("file://"))
    return Taken(
        answers=answers,
        imported_mb=imported,
        draining_mb=draining,
        merging_mb=merging,
        draining_seconds=round(drained - started, 1),
        merging_seconds=round(merged - drained, 1),
        partition_mb=round(partition.stat().st_size / 1e6, 1),
        bytes_an_answer=size,
    )


def _drain(
    collector: ProcessPoolExecutor, sent: Future[int], client: redis.Redis, url: str, store: Store
) -> float:
    """Empties the stream whenever it has grown, until all was sent; the collector's peak."""
    peak = 0.0
    while not sent.done() or client.xlen(STREAM):
        if sent.done() or client.xlen(STREAM) > _WAITING // 4:
            peak = collector.submit(_drain_once, url, store.url).result()
        else:
            time.sleep(_PAUSE_SECONDS)
    return peak


def _drain_once(url: str, storage: str) -> float:
    _collector(url, storage).drain()
    return _peak_mb()


def _merge(url: str, storage: str) -> tuple[Collected, float]:
    return _collector(url, storage).collect(_day()), _peak_mb()


def _collector(url: str, storage: str) -> Collector:
    return Collector(redis.Redis.from_url(url), Releases(Store(storage)))


def _peak_mb() -> float:
    """The most memory that this process has ever had."""
    return round(peak_memory_gib() * 2**30 / 1e6, 1)


def _lay_out(store: Store, shape: Shape) -> None:
    """A release that knows the items, and users with two attributes."""
    users = {"user_id": ["user-0"], "age": ["35-44"], "income": ["50-74K"]}
    store.table("users").write(pa.table(users))
    with Releases(store).new() as draft:
        index = draft.path / "models" / PIPELINE / draft.version / "item_index"
        index.mkdir(parents=True)
        ids = [str(1_000_000 + number) for number in range(shape.items)]
        (index / "item_ids.json").write_text(json.dumps(ids))
        (draft.path / MANIFEST).write_text(json.dumps({"release": int(draft.version)}))


def _send(url: str, answers: int, shape: Shape) -> int:
    """Sends a day's answers, spread over it; returns the bytes of one, packed."""
    client, templates = redis.Redis.from_url(url), _templates(shape)
    for start in range(0, answers, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, answers))
        commands = list(_commands(numbers, answers, templates))
        exchange(client, commands, len(commands))
        while client.xlen(STREAM) > _WAITING:
            time.sleep(_PAUSE_SECONDS)
    return len(next(_commands(range(1), 1, templates)).commands)


def _commands(
    numbers: range, answers: int, templates: list[tuple[bytes, bytes]]
) -> Iterator[Packed]:
    midnight = int(_DAY.timestamp())
    for number in numbers:
        head, rest = templates[number % len(templates)]
        asked = midnight + number * _SECONDS_OF_A_DAY // answers
        own = (b"%032x" % number, b"timestamp", b"%d" % asked, b"answered_at", b"%d000000" % asked)
        command = Packed(STREAM.encode(), b"".join([head, *map(bulk, own), rest]))
        yield command
        if number % _TWICE == 0:
            yield command


def _templates(shape: Shape) -> list[tuple[bytes, bytes]]:
    """Packed answers as the served model encodes them, without id and times: before and after."""
    draws = np.random.default_rng(0)
    return [_template(draws, shape) for _ in range(_TEMPLATES)]


def _template(draws: np.random.Generator, shape: Shape) -> tuple[bytes, bytes]:
    features = {
        name: "coffee" if kind == "string" else round(float(draws.gamma(2.0, 10.0)), 2)
        for name, kind in USER_FEATURES.columns.items()
    }
    user = {"user_id": f"user-{draws.integers(_USERS)}", "device": "web"}
    context = {**user, "age": "35-44", "income": "50-74K", **features}
    answer = Answer(
        request_id="",
        release=1,
        timestamp=0,
        answered_at=0,
        degraded=False,
        k=shape.shown,
        context=json.dumps(context).encode(),
        rows=draws.integers(shape.items, size=shape.candidates),
        scores=draws.normal(size=shape.candidates).astype(np.float32),
        shown=draws.permutation(shape.candidates)[: shape.shown],
        propensities=np.ones(shape.shown, dtype=np.float32),
    )
    fields = answer.encode()
    command = [b"XADD", STREAM.encode(), b"*", b"id"]
    after = [name for name in fields if name not in ("id", "timestamp", "answered_at")]
    rest = [part for name in after for part in (name.encode(), _as_sent(fields[name]))]
    head = b"*%d\r\n" % (3 + 2 * len(fields))
    return head + b"".join(map(bulk, command)), b"".join(map(bulk, rest))


def _as_sent(value: str | bytes | int) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _day() -> str:
    return _DAY.date().isoformat()


if __name__ == "__main__":
    main()
