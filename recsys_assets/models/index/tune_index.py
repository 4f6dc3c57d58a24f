"""Tunes the vector index where it serves: run by Dagster Pipes in the models environment.

FAISS of that environment, with its own vector instructions, decides what is cheap.
"""

from collections.abc import Callable

import numpy as np

from recsys_assets.models.index.index_tuning import ARTIFACT, Tuning, choose, measure, write_tuning
from recsys_assets.models.towers import EMBEDDINGS
from recsys_assets.models.training import order
from recsys_assets.storage import Store

_SAMPLE_QUERIES = "sample_queries.npy"


def tune(store: Store, tuning: Tuning, say: Callable[[str], None]) -> str:
    """Measures the catalogue's index, publishes the choice, and returns its version.

    Raises:
        NoIndexFits: no configuration meets target and limit.
    """
    embeddings = np.load(store.artifact("item_embeddings").fetch() / EMBEDDINGS)
    queries = np.load(store.artifact("two_tower").fetch() / _SAMPLE_QUERIES)
    measured = measure(embeddings, queries, tuning, say)
    with store.artifact(ARTIFACT).new_version() as draft:
        write_tuning(draft.path, tuning, measured, choose(measured, tuning))
    return draft.version


def main() -> None:
    """Takes the order from Pipes: extras `store`, a URL, and `parameters` of the tuning."""
    with order() as pipes:
        store, tuning = Store(pipes.get_extra("store")), Tuning(**pipes.get_extra("parameters"))
        pipes.report_custom_message({"version": tune(store, tuning, pipes.log.info)})


if __name__ == "__main__":
    main()
