"""A training process: how it takes its order, what it tells, and how it publishes what it made.

Runs in the models environment: in a process beside the run, or alone in a pod.

Each epoch is a log line and a custom message, which `pipes.py` turns into an observation of the
asset at once; so curves grow in the UI before the training is over.
"""

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from recsys_assets.runtime.pace import Progress, paced
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from dagster_pipes import PipesContext

THREADS = 2
_PR_SET_PDEATHSIG = 1  # prctl(2)
_NO_PARENT = 0  # of the first process in a container
EPOCH = "epoch"


class TooFewGpus(RuntimeError):
    """TensorFlow sees fewer GPUs than the training was given."""

    def __init__(self, wanted: int, seen: int) -> None:
        super().__init__(
            f"the training was given {wanted} GPUs and TensorFlow sees {seen}: use a training "
            "image with CUDA on a node with NVIDIA's device plugin, or set RECSYS_TRAINING_GPUS=0"
        )


def end_when_told() -> None:
    """Has this process end when the run that started it dies or takes it back.

    Otherwise the training of a killed run would go on beside the one that takes its place. The
    kernel tells the process when its parent dies, by whatever signal. Alone in a container there
    is no parent, and the kernel drops a signal that the first process does not handle: the one
    with which Kubernetes announces that it deletes the pod.
    """
    if os.getppid() == _NO_PARENT:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    else:
        ctypes.CDLL("libc.so.6", use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def limit_threads(threads: int = THREADS) -> None:
    """Keeps TensorFlow to as many threads as it has cores to itself."""
    import tensorflow as tf

    cores = len(os.sched_getaffinity(0))
    tf.config.threading.set_intra_op_parallelism_threads(min(threads, cores))
    tf.config.threading.set_inter_op_parallelism_threads(1)


def use_gpus(gpus: int) -> None:
    """Lets TensorFlow use so many GPUs, 0 being none even if the machine has one.

    It takes their memory as it needs it. Arithmetic stays float32 as on a CPU: with TF32 or mixed
    precision the exported model, which runs in float32, would not be the one that was trained.
    No GPU was there to measure this on.

    Raises:
        NoGpu: there are fewer. Training on a CPU in their place would take hours unasked.
    """
    import tensorflow as tf

    seen = tf.config.list_physical_devices("GPU")
    if len(seen) < gpus:
        raise TooFewGpus(gpus, len(seen))
    tf.config.set_visible_devices(seen[:gpus], "GPU")
    for device in seen[:gpus]:
        tf.config.experimental.set_memory_growth(device, True)
    tf.config.experimental.enable_tensor_float_32_execution(False)


def be_repeatable(seed: int) -> None:
    """Makes the same training give the same weights, bit for bit, on the same machine.

    TensorFlow then sums gradients in a fixed order, and every random operation has a seed. So it
    is with the same number of threads; an operation that has no such order on a GPU fails there.
    """
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


@contextmanager
def order() -> Iterator["PipesContext"]:
    """The order that Dagster Pipes has for this process, which ends when it is taken back.

    What the process says goes where the order wants it: to a file, or to objects on S3.
    """
    from dagster_pipes import PipesEnvVarParamsLoader, PipesS3MessageWriter, open_dagster_pipes

    writer = None
    if "bucket" in PipesEnvVarParamsLoader().load_messages_params():
        import boto3
        from botocore.config import Config

        retrying = Config(retries={"mode": "standard", "max_attempts": 10})
        writer = PipesS3MessageWriter(boto3.client("s3", config=retrying))
    with open_dagster_pipes(message_writer=writer) as pipes:
        end_when_told()
        yield pipes


def publish(train: Callable[["PipesContext", Store, Path], object]) -> None:
    """Runs one training for Dagster Pipes and reports the version that it published.

    Extras of every order: `store`, its URL, and `artifact`, the name of what is made there;
    `threads` and `gpus` that the process has, if not a laptop's.

    Args:
        train: writes the files into a folder; is given the store.
    """
    with order() as pipes:
        limit_threads(pipes.extras.get("threads", THREADS))
        use_gpus(pipes.extras.get("gpus", 0))
        store = Store(pipes.get_extra("store"))
        with store.artifact(pipes.get_extra("artifact")).new_version() as draft:
            train(pipes, store, draft.path)
        pipes.report_custom_message({"version": draft.version})


def ordered_two_tower(pipes: "PipesContext", store: Store) -> Path:
    """The files of the two-tower model of the order: extra `two_tower`, artifact and version.

    Raises:
        MissingArtifact: it has not been published.
    """
    found = pipes.get_extra("two_tower")
    return store.artifact(found["artifact"]).fetch(found["version"])


class Channel(Protocol):
    """What is used of `dagster_pipes.PipesContext`."""

    @property
    def log(self) -> "Log":
        """The run's log."""

    def report_custom_message(self, payload: object) -> None:
        """Sends a message to the process that started this one."""


class Log(Protocol):
    """What is used of a logger."""

    def info(self, message: str) -> None:
        """Writes a line."""


class EpochReport:
    """Collects and reports the figures of each epoch."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._started = time.monotonic()
        self.history: list[dict[str, float]] = []

    def batches(self) -> Progress:
        """Progress of the next epoch, in batches."""
        return paced(self._channel.log.info, f"batches of epoch {len(self.history) + 1}")

    def add(self, figures: Mapping[str, float]) -> None:
        """Reports one epoch's figures, numbered from 1, with the seconds since the last."""
        now = time.monotonic()
        row = {
            EPOCH: float(len(self.history) + 1),
            **figures,
            "seconds": round(now - self._started, 1),
        }
        self._started = now
        self.history.append(row)
        shown = ", ".join(f"{name} {value:.5g}" for name, value in row.items())
        self._channel.log.info(shown)
        self._channel.report_custom_message({EPOCH: row})


def write_metrics(
    folder: Path, report: EpochReport, weights: Iterable[np.ndarray], figures: Mapping[str, Any]
) -> dict[str, Any]:
    """Writes `metrics.json`: the figures given, and what every training says of itself.

    Args:
        folder: of the model.
        report: has all epochs.
        weights: of the trained model.
        figures: of this kind of model, JSON values.

    Returns:
        What the file holds.
    """
    metrics = {
        **figures,
        "epochs": report.history,
        "finite_weights": bool(all(np.isfinite(values).all() for values in weights)),
        "peak_memory_gib": round(peak_memory_gib(), 2),
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2), encoding="utf-8")
    return metrics


def peak_memory_gib() -> float:
    """Largest resident memory of this process so far.

    psutil does not say it on Linux, and `getrusage` counts what the parent held before it.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


def series(history: Sequence[Mapping[str, float]], name: str) -> list[float]:
    """One figure over the epochs that have it."""
    return [row[name] for row in history if name in row]
