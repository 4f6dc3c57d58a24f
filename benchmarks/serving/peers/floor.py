"""The floor: the pipeline of the promoted release called in one process, without a server.

    python -m benchmarks.serving.peers.floor < schedule.jsonl > latencies.json

No server can answer faster with the same models: no Triton, no network but to the online store,
no other process to hand a request to, and no batch to wait for. Requests are answered one after
another as they fall due. A line of the schedule is one request, with `at` in seconds after the
start; the latencies are seconds from then until the answer, in the order of the lines, and NaN
where the online store did not answer in time. Runs in the models environment.
"""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.serving.peers.release import promoted_version
from benchmarks.serving.requests import Request
from recsys_assets.pipeline.circuit import StoreUnavailable
from recsys_assets.pipeline.pipeline import NEVER, Effort, Pipeline
from recsys_assets.pipeline.requests import Requests
from recsys_assets.settings import Settings, load_settings

_WARM_UP = 50
_LEAD_SECONDS = 0.05
_FULL = np.array([Effort.FULL])
_NEVER = np.array([NEVER])


@dataclass(frozen=True)
class Floor:
    """The pipeline of a release, and its item ids by row, object [items]."""

    pipeline: Pipeline
    item_ids: np.ndarray

    @classmethod
    def load(cls, settings: Settings) -> "Floor":
        """Of the promoted release.

        Raises:
            ServiceError: nothing is promoted, or it was rendered for another layout.
        """
        version = promoted_version(settings)
        return cls(
            Pipeline.load(version.folder, settings), np.array(version.item_ids(), dtype=object)
        )

    def answer(self, request: Request) -> list[str]:
        """Items to show, first to show first; what the server's answer would hold.

        Raises:
            StoreUnavailable: the answer would be degraded.
        """
        asked = Requests.of(
            {
                "user_id": np.array([[request.user_id.encode()]], dtype=object),
                "device": np.array([[request.device.encode()]], dtype=object),
                "timestamp": np.array([[request.timestamp]]),
                "k": np.array([[request.k]]),
            }
        )
        slates = self.pipeline.answer(asked, _FULL, _NEVER)
        ranking = slates.rankings[0]
        if ranking is None or slates.degraded[0]:
            raise StoreUnavailable("the online store did not answer in time")
        return list(self.item_ids[ranking.rows[ranking.shown]])


def run(floor: Floor, schedule: Sequence[tuple[float, Request]]) -> np.ndarray:
    """Answers a schedule, in the order of its moments.

    Args:
        floor: what answers.
        schedule: for each request, seconds after the start.

    Returns:
        float64 [n], seconds from the scheduled moment to the answer; NaN where it was degraded.
    """
    for _, request in schedule[:_WARM_UP]:
        _answered(floor, request)
    gc.collect()
    gc.freeze()
    latencies = np.empty(len(schedule))
    started = time.perf_counter() + _LEAD_SECONDS
    for number, (at, request) in enumerate(schedule):
        due = started + at
        time.sleep(max(0.0, due - time.perf_counter()))
        answered = _answered(floor, request)
        latencies[number] = time.perf_counter() - due if answered else np.nan
    return latencies


def measure_floor(settings: Settings, schedule: Sequence[tuple[float, Request]]) -> np.ndarray:
    """Runs a schedule in a process of the models environment.

    Args:
        settings: of the deployment whose release is promoted.
        schedule: for each request, seconds after the start, ascending.

    Returns:
        As `run`.

    Raises:
        RuntimeError: the process failed; with the end of what it said.
    """
    lines = "".join(json.dumps({"at": at, **asdict(request)}) + "\n" for at, request in schedule)
    done = subprocess.run(
        [str(settings.models_python), "-m", "benchmarks.serving.peers.floor"],
        input=lines,
        env=_environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the floor could not be measured: {done.stderr[-2000:]}")
    return np.array(json.loads(done.stdout), dtype=np.float64)


def _answered(floor: Floor, request: Request) -> bool:
    try:
        floor.answer(request)
    except StoreUnavailable:
        return False
    return True


def _environment(settings: Settings) -> dict[str, str]:
    """As the served models have it: one thread each."""
    return {
        **os.environ,
        "RECSYS_HOME": str(settings.home),
        "RECSYS_STORAGE": settings.storage_url,
        "RECSYS_ONLINE_STORE_URL": settings.online_store_url,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def main() -> None:
    """From a schedule on standard input to latencies on standard output."""
    schedule = []
    for line in sys.stdin:
        row = json.loads(line)
        schedule.append((row.pop("at"), Request(**row)))
    latencies = run(Floor.load(load_settings()), schedule)
    sys.stdout.write(json.dumps(latencies.tolist()) + "\n")


if __name__ == "__main__":
    main()
