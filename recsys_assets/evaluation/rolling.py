"""The rolling evaluation: every week is asked of methods that were fitted on what came before it.

A week's requests, history and relevant items are those of `split.py`. The candidate sources see
what was known when the week began; the ranker learns from the candidates of the weeks before it,
made in the same way as of those weeks, and so from nothing that its own week would tell.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from scipy import sparse

from recsys_assets.candidates.boosted_ranker import BoostedRanker, Boosting, RankerExamples
from recsys_assets.candidates.declarations import BOUGHT_BEFORE, SOURCES, CandidateSource
from recsys_assets.candidates.inputs import RankerInputs
from recsys_assets.candidates.purchase_log import COLUMNS as LINE_COLUMNS
from recsys_assets.candidates.purchase_log import PurchaseLog
from recsys_assets.candidates.sources import Sources
from recsys_assets.candidates.union import UnitedCandidates, unite
from recsys_assets.evaluation.spending import COLUMNS as SPENDING_COLUMNS
from recsys_assets.evaluation.split import COLUMNS as EVENT_COLUMNS
from recsys_assets.evaluation.split import Split, split_by_time
from recsys_assets.features.attributes import attribute_names
from recsys_assets.features.declarations import ITEM_PROMOTIONS
from recsys_assets.models.index.index_kinds import RANKED
from recsys_assets.models.item_history import Changes, promotions_at
from recsys_assets.pipeline.rank import POPULARITY_DISCOUNT, log_sales
from recsys_assets.slates import DEPTH, PADDING, Scorer, rank
from recsys_assets.storage import Store

WEEK_DAYS = 7
RANKER_WEEKS = 8
PIPELINE = "pipeline"
DEPARTMENT = "category_l1"

Peer = Callable[[Split], Scorer]


@dataclass(frozen=True)
class Shop:
    """What a rolling evaluation reads: all events, the catalogue, the promotion plan.

    `departments` are the widest categories of the items, object [items]; "" = unknown.
    """

    interactions: pa.Table
    item_ids: list[str]
    departments: np.ndarray
    log: PurchaseLog
    promotions: Changes

    @classmethod
    def from_tables(
        cls,
        interactions: pa.Table,
        items: pa.Table,
        attributes: Sequence[str],
        promotions: Changes,
    ) -> "Shop":
        """From rows of `interactions` and `items`, and changes of `item_promotions`."""
        log = PurchaseLog.from_tables(interactions, items, attributes)
        departments = np.full(len(items), "", dtype=object)
        if DEPARTMENT in items.column_names:
            departments[:] = items.column(DEPARTMENT).fill_null("").to_pylist()
        return cls(interactions, log.item_ids.tolist(), departments, log, promotions)


def load_shop(store: Store, days: Sequence[str]) -> Shop:
    """What the store holds of the given days, YYYY-MM-DD.

    Raises:
        MissingPartition: a day, or another table, has not been materialized.
    """
    items = store.table("items").read()
    columns = list(dict.fromkeys((*EVENT_COLUMNS, *LINE_COLUMNS, *SPENDING_COLUMNS)))
    promotions = Changes.from_table(
        store.table(ITEM_PROMOTIONS.name).read(),
        items.column("item_id").combine_chunks(),
        ITEM_PROMOTIONS.columns,
    )
    interactions = store.table("interactions").read(days, columns=columns)
    attributes = attribute_names("items", items.column_names)
    return Shop.from_tables(interactions, items, attributes, promotions)


@dataclass(frozen=True)
class WeekCandidates:
    """A week's requests with their candidates."""

    split: Split
    candidates: UnitedCandidates
    examples: RankerExamples


@dataclass(frozen=True)
class Predictions:
    """What the ranker foretells of a week's m candidates, and what came of them.

    Attributes:
        request: int64 [m], whose candidate it is.
        probability: float32 [m], that it is bought within the week.
        bought: bool [m].
    """

    request: np.ndarray
    probability: np.ndarray
    bought: np.ndarray


def _unsaid(line: str) -> None:
    """Progress that nobody wants to see."""


@dataclass
class RollingWeeks:
    """Weeks of a shop, each made when it is asked for; the latest are kept.

    Args:
        shop: its events.
        declared: the candidate sources.
        repeats: whether what a customer has bought before may be shown, and is relevant.
        boosting: settings of the ranker.
        ranker_weeks: how many weeks before its own a ranker learns from.
        most_requests: of a week; of more, so many are drawn.
        log: takes a line of progress for each week and ranker.
    """

    shop: Shop
    declared: Sequence[CandidateSource] = SOURCES
    repeats: bool = False
    boosting: Boosting = field(default_factory=Boosting)
    ranker_weeks: int = RANKER_WEEKS
    most_requests: int | None = None
    log: Callable[[str], object] = _unsaid
    _weeks: OrderedDict[date, WeekCandidates] = field(default_factory=OrderedDict)
    _rankers: dict[date, BoostedRanker] = field(default_factory=dict)

    def week(self, first_day: date) -> WeekCandidates:
        """The week that begins on a day.

        Raises:
            NothingToEvaluate: nothing was bought before it, or for the first time in it.
        """
        if first_day not in self._weeks:
            split = self.split(first_day)
            made = self._weeks[first_day] = _week(self.shop, self.declared, split, first_day)
            self.log(
                f"week from {first_day}: {len(made.candidates.item):,} candidates for "
                f"{len(split.requests):,} requests"
            )
            while len(self._weeks) > self.ranker_weeks + 1:
                self._weeks.popitem(last=False)
        return self._weeks[first_day]

    def split(self, first_day: date) -> Split:
        """Requests of the week that begins on a day, and what was known before it.

        Raises:
            NothingToEvaluate: nothing was bought before it, or for the first time in it.
        """
        split = split_by_time(
            self.shop.interactions,
            self.shop.item_ids,
            first_day,
            WEEK_DAYS,
            repeats=self.repeats,
        )
        return split if self.most_requests is None else split.sample(self.most_requests)

    def examples_before(self, first_day: date) -> list[RankerExamples]:
        """What the ranker of a week learns from, the oldest week first."""
        ago = range(self.ranker_weeks, 0, -1)
        before = [first_day - timedelta(days=WEEK_DAYS * weeks) for weeks in ago]
        return [self.week(day).examples for day in before]

    def ranker(self, first_day: date) -> BoostedRanker:
        """What has learned from the weeks before the one that begins on a day; one is kept."""
        if first_day not in self._rankers:
            self._rankers.clear()
            self._rankers[first_day] = BoostedRanker.fit(
                self.examples_before(first_day), self.boosting
            )
            self.log(
                f"week from {first_day}: a ranker has learned from the {self.ranker_weeks} before"
            )
        return self._rankers[first_day]

    def predictions(self, first_day: date) -> Predictions:
        """Of all candidates of the week that begins on a day."""
        ranker, examples = self.ranker(first_day), self.week(first_day).examples
        probability = ranker.probabilities(ranker.score(examples.inputs))
        return Predictions(examples.owner, probability, examples.bought)

    def slates(self, first_day: date, peers: Mapping[str, Peer]) -> dict[str, np.ndarray]:
        """Slates int32 [requests, 300] of the pipeline and of each peer, fitted before the week.

        With `repeats` what a customer buys most and latest is a peer of its own.
        """
        ranker, week = self.ranker(first_day), self.week(first_day)
        scores = ranker.score(week.examples.inputs)
        if not self.repeats:  # as it is served; what she buys again is no matter of bestsellers
            scores = discounted(week.candidates, scores, week.split.purchases_recent)
        slates = {PIPELINE: ranked_slates(week.candidates, scores)}
        for name, peer in peers.items():
            slates[name] = rank(peer(week.split), week.split.excluded, week.split.purchases)
        if self.repeats:
            ranked = [source for source in self.declared if source.ranked]
            scores = week.candidates.scores[:, ranked.index(BOUGHT_BEFORE)]
            slates[BOUGHT_BEFORE.name] = ranked_slates(week.candidates, scores)
        return slates


def discounted(
    candidates: UnitedCandidates, scores: np.ndarray, popularity: np.ndarray
) -> np.ndarray:
    """Log-odds float [m] less the `popularity_discount` of a release; popularity [items].

    As there, it orders the first candidates alone: none of the others comes before one of them.
    """
    discounts = POPULARITY_DISCOUNT * log_sales(popularity)
    first = candidates.places(scores) < RANKED
    return scores - np.where(first, discounts[candidates.item], discounts.max(initial=0))


def ranked_slates(candidates: UnitedCandidates, scores: np.ndarray) -> np.ndarray:
    """Slates int32 [n, 300] of the candidates by falling score [m]; -inf is not shown."""
    place = candidates.places(scores)
    shown = (place < DEPTH) & (scores > -np.inf)
    slates = np.full((len(candidates), DEPTH), PADDING, dtype=np.int32)
    slates[candidates.owner[shown], place[shown]] = candidates.item[shown]
    return slates


def _week(
    shop: Shop, declared: Sequence[CandidateSource], split: Split, first_day: date
) -> WeekCandidates:
    sources = Sources.on(shop.log, shop.promotions, first_day)
    users = sources.known.rows_of(split.requests.user_id.tolist())
    excluded = split.excluded
    candidates = unite(sources, declared, users, lambda begin, end: _columns(excluded[begin:end]))
    moments = split.requests.timestamp[candidates.owner]
    planned = promotions_at(shop.promotions, candidates.item, moments)
    inputs = RankerInputs(sources, declared, split.repeats).of(candidates, users, planned)
    return WeekCandidates(
        split,
        candidates,
        RankerExamples(
            names=tuple(inputs),
            inputs=np.stack(list(inputs.values()), axis=1, dtype=np.float32),
            owner=candidates.owner,
            bought=_are_relevant(candidates, split),
            relevant=np.diff(split.requests.relevant.indptr),
        ),
    )


def _columns(matrix: sparse.csr_matrix) -> list[np.ndarray]:
    """Columns of the stored entries of each row."""
    return np.split(matrix.indices, matrix.indptr[1:-1])


def _are_relevant(candidates: UnitedCandidates, split: Split) -> np.ndarray:
    """Which candidates their customers bought in the week: bool [m]."""
    items, relevant = len(split.item_ids), split.requests.relevant.tocoo()
    wanted = relevant.row.astype(np.int64) * items + relevant.col
    return np.isin(candidates.keys(items), wanted)
