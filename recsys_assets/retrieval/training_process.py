"""Settings of a TensorFlow process. Runs in the models environment."""

import os

THREADS = 2


def limit_threads(threads: int = THREADS) -> None:
    """Keeps TensorFlow to as many threads as it has cores to itself."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(min(threads, os.cpu_count() or 1))
    tf.config.threading.set_inter_op_parallelism_threads(1)
