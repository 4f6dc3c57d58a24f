"""When requests are due: Poisson arrivals, drawn with a seed."""

from collections.abc import Sequence

import numpy as np


def poisson(rate: float, seconds: float, seed: int) -> np.ndarray:
    """Times of a Poisson process, ascending, seconds within [0, seconds); float64 [n].

    Given their number, the arrivals of a Poisson process are spread evenly and independently.

    Args:
        rate: arrivals a second, on average.
        seconds: how long.
        seed: the same one gives the same times.
    """
    rng = np.random.default_rng(seed)
    return np.sort(rng.random(rng.poisson(rate * seconds)) * seconds)


def phases(steps: Sequence[tuple[float, float]], seed: int) -> np.ndarray:
    """Arrivals of phases one after another, each of (rate, seconds); float64 [n]."""
    parts, begin = [np.empty(0)], 0.0
    for number, (rate, seconds) in enumerate(steps):
        parts.append(begin + poisson(rate, seconds, seed + number))
        begin += seconds
    return np.concatenate(parts)
