"""A day's candidates from sources to ranked lists: what a release, the gate and an evaluation ask.

What depends on the customer and on the day alone is worked out ahead, for all customers that a
shop knows. A request is left with what changes since: what she has bought in the meantime, and
the ranker of the moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa

from recsys_assets.candidates.boosted_ranker import BoostedRanker
from recsys_assets.candidates.declarations import SOURCES
from recsys_assets.candidates.inputs import Inputs, RankerInputs
from recsys_assets.candidates.purchase_log import PurchaseLog
from recsys_assets.candidates.ranked_lists import RankedLists
from recsys_assets.candidates.sources import Sources
from recsys_assets.candidates.union import UnitedCandidates, unite
from recsys_assets.models.item_history import Changes, promotions_at
from recsys_assets.models.training_data import CatalogueSnapshot
from recsys_assets.settings.days import midnight

_USERS_AT_ONCE = 1000  # each has 450 candidates of 115 inputs: 0.5 GB


@dataclass(frozen=True)
class DayCandidates:
    """Candidates as of the moment that a day begins, whichever ranker orders them.

    Attributes:
        log: purchased lines; those of the day and after it are left out.
        promotions: changes of `item_promotions`, in the catalogue's order.
        day: that begins.
    """

    log: PurchaseLog
    promotions: Changes
    day: date

    @classmethod
    def after(cls, known: CatalogueSnapshot, events: pa.Table) -> "DayCandidates":
        """After the last day that is known.

        Args:
            known: the catalogue at the end of that day.
            events: rows of `interactions` with the columns of a `PurchaseLog`.
        """
        log = PurchaseLog.of_catalogue(events, known.history)
        day = date.fromisoformat(known.day) + timedelta(days=1)
        return cls(log, known.history.promotions, day)

    def customers(self) -> list[str]:
        """All who have bought anything before the day."""
        bought = np.unique(self._inputs.sources.known.user)
        return [self.log.user_ids[row] for row in bought.tolist()]

    def lists(self, user_ids: Sequence[str], ranker: BoostedRanker, depth: int) -> RankedLists:
        """The best `depth` candidates of customers; none of one who has bought nothing yet.

        Items that a customer has bought are left out. A catalogue row is an item's number.

        Raises:
            ValueError: the ranker was trained with an input that the shop does not have.
        """
        known = self._inputs.sources.known
        users = known.rows_of(user_ids)
        places = np.flatnonzero(users >= 0)
        parts = []
        for start in range(0, len(places), _USERS_AT_ONCE):
            some = places[start : start + _USERS_AT_ONCE]
            parts.append(self._ranked(users[some], ranker, depth))
        if not parts:
            return RankedLists.none()
        lengths, rows, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        asked = [user_ids[place] for place in places.tolist()]
        return RankedLists.of_users(asked, starts, rows, scores)

    @cached_property
    def _inputs(self) -> RankerInputs:
        return RankerInputs(Sources.on(self.log, self.promotions, self.day), SOURCES)

    def _ranked(
        self, users: np.ndarray, ranker: BoostedRanker, depth: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How many candidates each of n customers has, and all of them: items and scores."""
        sources = self._inputs.sources
        bought = sources.known.bought[users]
        taken = np.split(bought.indices, bought.indptr[1:-1])
        candidates = unite(sources, SOURCES, users, lambda start, stop: taken[start:stop])
        scores = ranker.score_named(self._inputs_of(candidates, users))
        place = candidates.places(scores)
        best = np.lexsort((place, candidates.owner))
        best = best[place[best] < depth]
        lengths = np.bincount(candidates.owner[best], minlength=len(users))
        return lengths, candidates.item[best], scores[best]

    def _inputs_of(self, candidates: UnitedCandidates, users: np.ndarray) -> Inputs:
        moment = np.array([int(midnight(self.day).timestamp())])
        planned = promotions_at(self.promotions, candidates.item, moment)
        return self._inputs.of(candidates, users, planned)
