"""Memory and latency of forms of a release. Runs in the models environment.

Started as `python -m benchmarks.quantized_probe`; prints a JSON list, one entry a form.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import psutil

from recsys_assets.releases.offline import OfflineRelease, Sessions

_WARM_UP = 50
_MIB = 1 << 20


class Memory(TypedDict):
    """What loading a release and answering have added to a process, and how long loading took.

    `private_mib` belongs to the process, `shared_mib` are pages of mapped files, which all
    processes of a machine share.
    """

    private_mib: float
    shared_mib: float
    load_seconds: float


class Latency(TypedDict):
    """Milliseconds of each request by block, [blocks][requests].

    `cpu` is the thread's own time, which other work on the machine hardly changes; `wall` is what
    a client would wait.
    """

    cpu: list[list[float]]
    wall: list[list[float]]


def write_sessions(file: Path, sessions: Sessions) -> None:
    """Writes requests for `read_sessions`; missing numbers are NaN, as Python's JSON has them."""
    columns = {name: values.tolist() for name, values in sessions.query_columns().items()}
    file.write_text(json.dumps({"timestamp": sessions.timestamp.tolist(), "columns": columns}))


def read_sessions(file: Path) -> Sessions:
    """Reads what `write_sessions` wrote."""
    stored = json.loads(file.read_text())
    columns = {
        name: np.array(values, dtype=object if isinstance(values[0], str) else np.float64)
        for name, values in stored["columns"].items()
    }
    user_id, device = columns.pop("user_id"), columns.pop("device")
    return Sessions(user_id, np.array(stored["timestamp"]), device, columns)


def memory(folder: Path, release: int, sessions: Sessions) -> Memory:
    """Loads a release and answers some requests, in a process that has loaded none before."""
    process = psutil.Process()
    before, start = process.memory_info(), time.perf_counter()
    served = OfflineRelease.load(folder, release)
    load_seconds = time.perf_counter() - start
    for number in range(_WARM_UP):
        _time(served, sessions, number)
    after = process.memory_info()
    shared = after.shared - before.shared
    return Memory(
        private_mib=round((after.rss - before.rss - shared) / _MIB, 1),
        shared_mib=round(shared / _MIB, 1),
        load_seconds=round(load_seconds, 2),
    )


def latency(
    folders: Sequence[Path], release: int, sessions: Sessions, blocks: int, requests: int
) -> list[Latency]:
    """Asks several forms of a release the same requests in turn, block by block.

    A request is query tower, search, ranking and diversity in this process, one at a time; the
    online store, the filters of seen items and the server are left out.

    Args:
        folders: of the forms.
        release: number of all of them.
        sessions: asked one after another.
        blocks: turns of each form.
        requests: of a block.
    """
    forms = [OfflineRelease.load(folder, release) for folder in folders]
    found = [Latency(cpu=[], wall=[]) for _ in forms]
    for block in range(-1, blocks):
        for served, times in zip(forms, found, strict=True):
            asked = range(block * requests, (block + 1) * requests)
            pairs = [_time(served, sessions, number) for number in asked]
            if block >= 0:  # the first warms up
                times["cpu"].append([cpu for cpu, _ in pairs])
                times["wall"].append([wall for _, wall in pairs])
    return found


def _time(served: OfflineRelease, sessions: Sessions, number: int) -> tuple[float, float]:
    """Milliseconds of one request: of the thread, and on the clock."""
    asked = sessions.take(np.array([number % len(sessions)]))
    cpu, wall = time.thread_time(), time.perf_counter()
    served.answer(asked, {})
    return (time.thread_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000


def main() -> None:
    """Measures the latency of the releases of the arguments, or of one the memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("release", type=int, help="number")
    parser.add_argument("sessions", type=Path, help="requests, as write_sessions writes them")
    parser.add_argument("folders", type=Path, nargs="+", help="forms of the release")
    parser.add_argument("--blocks", type=int, default=0, help="to time; 0 looks at memory")
    parser.add_argument("--requests", type=int, default=25, help="of a block")
    given = parser.parse_args()
    import faiss  # noqa: F401  # libraries are loaded before the memory is looked at
    import onnxruntime  # noqa: F401

    sessions = read_sessions(given.sessions)
    found = (
        latency(given.folders, given.release, sessions, given.blocks, given.requests)
        if given.blocks
        else [memory(folder, given.release, sessions) for folder in given.folders[:1]]
    )
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
