"""How much is done for each request of a batch, so that the batch is done in time.

Triton hands over as many waiting requests as a batch may hold, so that a long batch is a long
queue. A batch has a budget of seconds. As many requests as the budget allows are answered in full;
where they do not all fit, some get fewer candidates, and where that is not enough, some get the
popular slate. The next batch is decided anew: once the queue is short, everything is as before
within one batch. What does not fit into the queue is refused by Triton at once
(`triton_repo/pipeline/config.pbtxt`).
"""

import numpy as np

from recsys_assets.pipeline.pipeline import Effort

# Work of a request at each effort in units of a full one, measured in batches of 4 to 16.
WORK = np.array([1.0, 0.47, 0.01])
_KEPT = 0.99  # of what earlier batches have taught, at each batch
_LEAST_SECONDS = 1e-5  # a request never costs less
_MOST = 3.0  # times the expected seconds: what took longer was held up, and counts as this


class Shedder:
    """Decides the efforts of batches.

    What a batch takes is `base + slope * work`, by least squares over the latest batches, with
    the two first ones never forgotten: batches of one size alone would not tell base from slope.

    Args:
        budget_seconds: that a batch may take.
        first: work and seconds of two batches of different size.
    """

    def __init__(self, budget_seconds: float, first: list[tuple[float, float]]) -> None:
        self._budget = budget_seconds
        self._first = sum(_moments(work, seconds) for work, seconds in first)
        self._latest = np.zeros(5)

    def efforts(self, count: int) -> np.ndarray:
        """`Effort` for each of `count` requests, int [count]; the first ones get the most.

        A request alone is always answered in full, so that the cost of that is never forgotten.
        """
        room = self._room()
        if count == 1 or count <= room:
            return np.full(count, Effort.FULL)
        high = Effort.FULL if count * WORK[Effort.FEWER_CANDIDATES] <= room else Effort(1)
        low = Effort(high + 1)
        better = int((room - count * WORK[low]) / (WORK[high] - WORK[low]))
        return np.where(np.arange(count) < better, high, low)

    def observe(self, efforts: np.ndarray, seconds: float) -> None:
        """Learns from a batch that took `seconds`."""
        work = float(WORK[efforts].sum())
        base, slope = self._line()
        seconds = min(seconds, _MOST * (base + slope * work))
        self._latest = _KEPT * self._latest + _moments(work, seconds)

    def _room(self) -> float:
        """Work that the budget allows."""
        base, slope = self._line()
        return (self._budget - base) / slope

    def _line(self) -> tuple[float, float]:
        """Seconds of a batch: for itself, and for each unit of work."""
        weight, work, squares, seconds, products = self._first + self._latest
        spread = weight * squares - work**2
        slope = max((weight * products - work * seconds) / spread, _LEAST_SECONDS)
        base = max((seconds - slope * work) / weight, 0.0)
        return float(base), float(slope)


def _moments(work: float, seconds: float) -> np.ndarray:
    return np.array([1.0, work, work**2, seconds, work * seconds])
