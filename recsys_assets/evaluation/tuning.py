"""Settings of peers and of the ranker, chosen on weeks before those that are reported.

Every method has the same budget: at most `BUDGET` settings, of which the one with
the highest mean NDCG@10 over the validation weeks is taken.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from recsys_assets import metrics
from recsys_assets.candidates.boosted_ranker import Boosting
from recsys_assets.evaluation import baselines
from recsys_assets.evaluation.split import Split
from recsys_assets.slates import Scorer, rank

BUDGET = 6
Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Tuned:
    """A method with the settings that it may have."""

    build: Callable[..., Any]
    settings: tuple[Setting, ...] = field(default=({},))

    def __post_init__(self) -> None:
        if not 1 <= len(self.settings) <= BUDGET:
            raise ValueError(f"{len(self.settings)} settings: each method has 1 to {BUDGET}")

    def with_setting(self, number: int) -> Callable[..., Any]:
        """The method with one of its settings."""
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
# Chosen by hand of five settings on the four weeks before 2017-10-01 of Complete Journey: powers of
# the household 0, 0.5 and 1; twice the trees of 31 leaves at half the rate; half the weeks.
RANKER = Tuned(Boosting)


def scorer_quality(scorer: Scorer, split: Split) -> float:
    """Mean NDCG@10 of a method over a week's requests."""
    return slate_quality(rank(scorer, split.excluded, split.purchases, k=10), split)


def slate_quality(slates: np.ndarray, split: Split) -> float:
    """Mean NDCG@10 of slates int32 [n, >= 10]."""
    relevant = split.requests.relevant
    hit = metrics.hits(slates, relevant)
    return float(metrics.ndcg(hit, np.diff(relevant.indptr), 10).mean())
