"""Places of a slate that are left to chance, with the probability that each item had of its place.

What is never shown is never bought, and what models learn from their own slates confirms them. A
share of the places is drawn instead; the logged propensities make the answers usable for
estimates of what other slates would have brought (inverse propensity scoring, A. Swaminathan and
T. Joachims, JMLR 16, 2015).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Exploration:
    """The last `share` of a slate's places is drawn, rounded down: 0.1 is one of ten, 0 is off.

    The same `seed` and request give the same draw.
    """

    share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"exploration share is {self.share}: give 0 (off) to 1")
        if self.seed < 0:
            raise ValueError(f"exploration seed is {self.seed}: give 0 or more")

    def places(self, k: int) -> int:
        """How many of a slate's k places are drawn."""
        return int(round(k * self.share, 9))  # 0.29 of 100 are 29, whatever floats say

    def generator(self, request: int) -> np.random.Generator:
        """Of the draws of one request, which a number tells from others."""
        return np.random.default_rng([self.seed, request, 1])  # the 1 keeps it apart from sampling


def draw(
    log_weights: np.ndarray, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws without replacement, each with a probability that is proportional to its weight.

    The Gumbel-top-k trick: W. Kool et al., ICML 2019, arXiv:1903.06059.

    Args:
        log_weights: float [m], finite.
        count: at most m.
        generator: of the noise.

    Returns:
        Positions int64 [count] in the order drawn, and the probability of each given those before
        it, float32 [count].
    """
    order = np.argsort(-(log_weights + generator.gumbel(size=len(log_weights))), kind="stable")
    ordered = log_weights[order].astype(np.float64)
    left = np.logaddexp.accumulate(ordered[::-1])[::-1]  # of each and all that come after it
    return order[:count], np.exp(ordered - left)[:count].astype(np.float32)
