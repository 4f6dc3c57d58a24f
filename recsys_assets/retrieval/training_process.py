"""A training process: its settings, and how it takes its order and publishes what it made.

Runs in the models environment.
"""

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_assets.storage import Store

if TYPE_CHECKING:
    from dagster_pipes import PipesContext

THREADS = 2
_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent() -> None:
    """Has the kernel end this process when the run that started it dies, by whatever signal.

    Otherwise the training of a killed run would go on beside the one that takes its place.
    """
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def limit_threads(threads: int = THREADS) -> None:
    """Keeps TensorFlow to as many threads as it has cores to itself."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(min(threads, os.cpu_count() or 1))
    tf.config.threading.set_inter_op_parallelism_threads(1)


def be_repeatable(seed: int) -> None:
    """Makes the same training give the same weights, bit for bit, on the same machine.

    TensorFlow then sums gradients in a fixed order, and every random operation has a seed.
    """
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def publish(
    artifact: Callable[["PipesContext"], str],
    train: Callable[["PipesContext", Store, Path], object],
) -> None:
    """Runs one training for Dagster Pipes and reports the version that it published.

    Args:
        artifact: the name of what is made, from the extras of the order.
        train: writes the files into a folder; extra `store` is the URL of the store given to it.
    """
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        end_with_parent()
        limit_threads()
        store = Store(pipes.get_extra("store"))
        with store.artifact(artifact(pipes)).new_version() as draft:
            train(pipes, store, draft.path)
        pipes.report_custom_message({"version": draft.version})
