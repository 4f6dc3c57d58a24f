"""The candidate sources, declared: one line adds a source, and takes one away.

The order is that of the request log; a candidate found by several sources is one candidate.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recsys_assets.candidates import sources
from recsys_assets.candidates.source_scores import SourceScores


@dataclass(frozen=True)
class CandidateSource:
    """Where candidates come from.

    Attributes:
        name: as reports and logs name it.
        quota: how many candidates it may bring, before what she has bought is taken out.
        score: of the items that it knows for a block of customers, as `sources` says.
        ranked: whether the ranker is told its score and rank, of every candidate.
        description: for people.
    """

    name: str
    quota: int
    score: Callable[[sources.Sources, np.ndarray], SourceScores]
    ranked: bool
    description: str

    def __post_init__(self) -> None:
        if self.quota < 0:
            raise ValueError(
                f"candidate source {self.name!r} has the quota {self.quota}: give 0 or more"
            )


SOURCES = (
    CandidateSource(
        "neighbours",
        210,
        sources.neighbours,
        ranked=True,
        description="bought together with what she has bought (EASE)",
    ),
    CandidateSource(
        "recent_neighbours",
        230,
        sources.recent_neighbours,
        ranked=True,
        description="bought together with what she bought last (EASE)",
    ),
    CandidateSource(
        "season_neighbours",
        210,
        sources.season_neighbours,
        ranked=True,
        description="bought in three months together with what she has bought (EASE)",
    ),
    CandidateSource(
        "like_minded",
        90,
        sources.like_minded,
        ranked=True,
        description="what customers who bought the same have bought in four weeks",
    ),
    CandidateSource(
        "store_best_sellers",
        40,
        sources.store_best_sellers,
        ranked=False,
        description="best sellers of her store in four weeks",
    ),
    CandidateSource(
        "promoted",
        30,
        sources.promoted,
        ranked=False,
        description="promoted now, of the kinds that she buys",
    ),
    CandidateSource(
        "new_arrivals",
        10,
        sources.new_arrivals,
        ranked=False,
        description="first sold within four weeks, of the kinds that she buys",
    ),
)
# Only where an answer may hold what a customer has bought before, as at the checkout.
BOUGHT_BEFORE = CandidateSource(
    "bought_before",
    300,
    sources.bought_before,
    ranked=True,
    description="what she buys herself, most and latest first",
)
