"""Trains the boosted ranker on the candidates of the last weeks, and publishes it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from recsys_assets.candidates.boosted_ranker import BoostedRanker, Boosting, RankerExamples
from recsys_assets.evaluation.rolling import RANKER_WEEKS, WEEK_DAYS, RollingWeeks, load_shop
from recsys_assets.evaluation.split import NothingToEvaluate
from recsys_assets.storage import Store

MOST_REQUESTS = 500  # of a week: more of them hardly teach more, and each has 450 candidates
_LEAST_BOUGHT = 200  # candidates, or trees would learn chance
_SHOWN_INPUTS = 15


@dataclass(frozen=True)
class TrainedRanker:
    """A ranker with its figures; None where history was too short to learn from."""

    ranker: BoostedRanker | None
    figures: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Writes the trees, if there are any, and `metrics.json`."""
        if self.ranker is not None:
            self.ranker.save(folder)
        (folder / "metrics.json").write_text(json.dumps(self.figures))


def train(
    store: Store,
    days: Sequence[str],
    boosting: Boosting,
    log: Callable[[str], object],
) -> TrainedRanker:
    """Learns from the candidates of the weeks that end on the last of the given days.

    Each week's candidates are made of what was known when it began. A week that nothing was known
    before, or in which nobody bought anything new, teaches nothing.

    Args:
        store: holds `interactions`, `items` and `item_promotions`.
        days: of history, rising, YYYY-MM-DD.
        boosting: settings of the trees.
        log: takes lines of progress.

    Raises:
        MissingPartition: a day, or another table, has not been materialized.
    """
    weeks = RollingWeeks(load_shop(store, days), most_requests=MOST_REQUESTS, log=log)
    through = date.fromisoformat(days[-1])
    examples: dict[str, RankerExamples] = {}
    for ago in range(RANKER_WEEKS, 0, -1):
        week = through - timedelta(days=WEEK_DAYS * ago - 1)
        try:
            examples[week.isoformat()] = weeks.week(week).examples
        except NothingToEvaluate as nothing:
            log(f"week from {week}: {nothing}")
    bought = sum(int(week.bought.sum()) for week in examples.values())
    figures: dict[str, Any] = {
        "trained_through": through.isoformat(),
        "weeks": list(examples),
        "requests": sum(len(week.relevant) for week in examples.values()),
        "candidates": sum(len(week.bought) for week in examples.values()),
        "bought_candidates": bought,
        "boosting": asdict(boosting),
    }
    if bought < _LEAST_BOUGHT:
        log(f"{bought} candidates were bought, and {_LEAST_BOUGHT} are needed: no trees yet")
        return TrainedRanker(None, {**figures, "trees": 0})
    ranker = BoostedRanker.fit(list(examples.values()), boosting)
    gains = list(ranker.importance().items())[:_SHOWN_INPUTS]
    return TrainedRanker(ranker, {**figures, "trees": boosting.trees, "gains": dict(gains)})
