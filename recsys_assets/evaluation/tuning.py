"""Settings of peers, chosen on weeks before those that are reported.

Every peer has the same budget: at most `BUDGET` settings, of which the one with the highest mean
NDCG@10 over the validation weeks is taken.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from recsys_assets import metrics
from recsys_assets.evaluation import baselines
from recsys_assets.evaluation.split import Split
from recsys_assets.slates import Scorer, rank

BUDGET = 6
Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Tuned:
    """A peer with the settings that it may have."""

    build: Callable[..., Scorer]
    settings: tuple[Setting, ...] = field(default=({},))

    def __post_init__(self) -> None:
        if not 1 <= len(self.settings) <= BUDGET:
            raise ValueError(f"{len(self.settings)} settings: each peer has 1 to {BUDGET}")

    def with_setting(self, number: int) -> Callable[[Split], Scorer]:
        """The peer with one of its settings."""
        return partial(self.build, **self.settings[number])


PEERS: dict[str, Tuned] = {
    "popularity": Tuned(baselines.popularity),
    "popularity_28d": Tuned(baselines.popularity_recent),
    "item_knn": Tuned(
        baselines.item_knn, tuple({"neighbours": count} for count in (20, 50, 100, 200, 500))
    ),
    "rp3beta": Tuned(
        baselines.rp3beta, tuple({"beta": beta} for beta in (0.0, 0.2, 0.4, 0.5, 0.6, 0.8))
    ),
    "als": Tuned(
        baselines.als,
        tuple(
            {"factors": factors, "regularisation": regularisation}
            for factors in (32, 64)
            for regularisation in (0.01, 10.0)
        ),
    ),
    "ease": Tuned(
        baselines.ease,
        tuple(
            {"regularisation": regularisation, "min_buyers": buyers}
            for regularisation in (300.0, 1000.0, 3000.0)
            for buyers in (4, 8)
        ),
    ),
}


def scorer_quality(scorer: Scorer, split: Split) -> float:
    """Mean NDCG@10 of a method over a week's requests."""
    slates = rank(scorer, split.excluded, split.purchases, k=10)
    relevant = split.requests.relevant
    hit = metrics.hits(slates, relevant)
    return float(metrics.ndcg(hit, np.diff(relevant.indptr), 10).mean())
