"""How far Spark has come with its tasks, for whoever waits for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recsys_assets.pace import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SECONDS = 1.0


@contextmanager
def told_tasks(spark: "SparkSession", progress: Progress) -> Iterator[None]:
    """Counts tasks of the stages that run, while the work inside goes on.

    A later stage becomes known when it begins, so the total grows.
    """
    tracker = spark.sparkContext.statusTracker()
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(_SECONDS):
            stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
            running = [stage for stage in stages if stage is not None]
            if running:
                progress(
                    sum(stage.numCompletedTasks for stage in running),
                    sum(stage.numTasks for stage in running),
                )

    thread = threading.Thread(target=tell, name="Spark tasks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
