"""What the ranker is told of each candidate, declared by name.

All inputs mean the same every week: counts over windows, shares, ranks and scores made comparable
within the request. Absolute ages and lifetime counts grow with the calendar, and a ranker that was
trained on earlier weeks would read them wrongly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from recsys_assets.candidates.declarations import CandidateSource
from recsys_assets.candidates.purchase_log import UNKNOWN
from recsys_assets.candidates.snapshot import RECENT_DAYS, PairCounts, PurchaseSnapshot
from recsys_assets.candidates.sources import Sources
from recsys_assets.candidates.union import UnitedCandidates

Inputs = dict[str, np.ndarray]
_WEEK, _SEASON = 7, 84
_LONG_AGO = 200.0  # days; what is longer ago is the same to a customer
_CATEGORIES = ("category_l1", "category_l2", "category_l3")


@dataclass(frozen=True)
class RankerInputs:
    """The inputs of one day's candidates. What all requests share is counted once.

    Attributes:
        sources: of the day.
        declared: the sources that bring the candidates.
        repeats: whether what she has bought may be shown again; then the item itself counts too.
    """

    sources: Sources
    declared: Sequence[CandidateSource]
    repeats: bool = False

    def of(
        self, candidates: UnitedCandidates, users: np.ndarray, planned: Mapping[str, np.ndarray]
    ) -> Inputs:
        """Every input of m candidates, float [m] each, NaN = unknown, in the order of training.

        Args:
            candidates: of n requests.
            users: int32 [n], rows of users, -1 = unknown.
            planned: promotions of each candidate at the moment of its request, [m].
        """
        owner, item = candidates.owner, candidates.item
        user = users[owner]
        inputs = source_inputs(self.declared, candidates)
        inputs |= {name: values[item] for name, values in self._items.items()}
        for name in ("sales_7d", "sales_28d", "first_sales_28d"):
            inputs[f"{name}_within"] = _within_request(inputs[name], owner, len(candidates))
        inputs |= planned
        inputs |= _of_users(self._users, user, inputs)
        inputs |= _of_store(self.sources.known, user, item)
        for name, counts in self._groups.items():
            inputs |= counts.inputs(name, user, item)
        return inputs

    @cached_property
    def _items(self) -> Inputs:
        return item_inputs(self.sources)

    @cached_property
    def _users(self) -> Inputs:
        return user_means(self.sources)

    @cached_property
    def _groups(self) -> dict[str, "GroupCounts"]:
        groups = attribute_groups(self.sources)
        if self.repeats:
            groups["item"] = np.arange(self.sources.known.items)
        return {name: GroupCounts.of(self.sources.known, codes) for name, codes in groups.items()}


def source_inputs(declared: Sequence[CandidateSource], candidates: UnitedCandidates) -> Inputs:
    """Score, made comparable within the request, and rank by each ranked source."""
    inputs = {}
    names = [source.name for source in declared if source.ranked]
    for name, scores in zip(names, candidates.scores.T, strict=True):
        inputs[f"{name}_score"] = _within_request(scores, candidates.owner, len(candidates))
        inputs[f"{name}_rank"] = candidates.places(scores)
    return inputs


def item_inputs(sources: Sources) -> Inputs:
    """What does not depend on who asks, float32 [items] each."""
    known, kind = sources.known, sources.kind
    week, month, season = (known.sales(days) for days in (_WEEK, RECENT_DAYS, _SEASON))
    first_week, first_month, first_season = (
        known.first_sales(days) for days in (_WEEK, RECENT_DAYS, _SEASON)
    )
    buyers = np.asarray(known.bought.sum(axis=0)).ravel()
    of_kind = _sum_by(kind, month)
    first_of_kind = _sum_by(kind, first_month)
    price = known.item_log_price
    return {
        "sales_7d": np.log1p(week),
        "sales_28d": np.log1p(month),
        "sales_trend_7d": week / (month + 4),
        "sales_trend_28d": month / (season + 12),
        "first_sales_7d": np.log1p(first_week),
        "first_sales_28d": np.log1p(first_month),
        "first_share_28d": first_month / (month + 4),
        "first_trend_7d": first_week / (first_month + 4),
        "first_trend_28d": first_month / (first_season + 12),
        "share_of_kind": first_month / (first_of_kind + 4)[kind],
        "kind_trend_7d": (_sum_by(kind, week) / (of_kind + 4))[kind],
        "kind_trend_28d": (of_kind / (_sum_by(kind, season) + 12))[kind],
        "kind_first_share_28d": (first_of_kind / (of_kind + 4))[kind],
        "lines_per_buyer": np.bincount(known.item, minlength=known.items) / np.maximum(buyers, 1),
        "log_price": price,
        "price_in_kind": price - _kind_price(known, kind)[kind],
        "discount_28d": known.mean_of_items(known.discount, known.recent(RECENT_DAYS)),
        "discount_7d": known.mean_of_items(known.discount, known.recent(_WEEK)),
        "days_since_sold": np.minimum(known.days_since_last_sale, 60),
        "days_on_sale": np.minimum(known.days_since_first_sale, 90),
    }


def attribute_groups(sources: Sources) -> dict[str, np.ndarray]:
    """Ways in which items are alike, as codes int [items]: each attribute, and pairs with a kind.

    A first purchase is most often a further variety of what she knows: the same kind of the same
    maker, or in the same size.
    """
    attributes = dict(sources.known.log.attributes)
    others = [name for name in attributes if name not in _CATEGORIES]
    groups = dict(attributes)
    for name in others:
        groups[f"kind_{name}"] = _crossed(sources.kind, attributes[name])
    for one, other in combinations(others, 2):
        groups[f"kind_{one}_{other}"] = _crossed(groups[f"kind_{one}"], attributes[other])
    return groups


def user_means(sources: Sources) -> Inputs:
    """What tells customers apart, float32 [users] each."""
    known, kind = sources.known, sources.kind
    recent = np.bincount(known.user[known.recent(RECENT_DAYS)], minlength=known.users)
    level = known.log_price - _kind_price(known, kind)[kind[known.item]]
    return {
        "log_price": known.mean_of_users(known.log_price),
        "price_level": known.mean_of_users(level),
        "discount": known.mean_of_users(known.discount),
        "lines_28d": recent.astype(np.float32),
    }


def _of_users(means: Inputs, user: np.ndarray, inputs: Inputs) -> Inputs:
    """How the candidate compares with what she usually pays, and how much she buys."""
    hers = {name: _of_user(values, user) for name, values in means.items()}
    return {
        "price_against_user_mean": inputs["log_price"] - hers["log_price"],
        "price_level_against_user_mean": inputs["price_in_kind"] - hers["price_level"],
        "discount_against_user_mean": inputs["discount_28d"] - hers["discount"],
        "user_mean_discount": hers["discount"],
        "user_lines_28d": hers["lines_28d"],
    }


def _of_store(known: PurchaseSnapshot, user: np.ndarray, item: np.ndarray) -> Inputs:
    """How the candidate sells in the customer's store; NaN where she has none."""
    store = np.append(known.main_store, UNKNOWN)[user]
    here = store >= 0
    month = np.where(here, known.store_sales(RECENT_DAYS).at(store, item), np.nan)
    week = np.where(here, known.store_sales(_WEEK).at(store, item), np.nan)
    return {
        "store_sales_28d": month,
        "store_sales_7d": week,
        "store_share_28d": month / (known.sales(RECENT_DAYS)[item] + 1),
    }


@dataclass(frozen=True)
class GroupCounts:
    """How much each customer buys of each group of items, alike in one way.

    Attributes:
        codes: int [items], the group of each item.
        bought: lines by user and group.
        recent: float32, lines of four weeks of each pair of `bought`.
        different: float32, items of each pair.
        last: float32, days since the last line of each pair.
        of_groups: lines of each group.
        of_users: lines of each user, float32 [users].
        lines: in all.
    """

    codes: np.ndarray
    bought: PairCounts
    recent: np.ndarray
    different: np.ndarray
    last: np.ndarray
    of_groups: np.ndarray
    of_users: np.ndarray
    lines: int

    @classmethod
    def of(cls, known: PurchaseSnapshot, codes: np.ndarray) -> "GroupCounts":
        """Counts the lines that are known."""
        width = int(codes.max(initial=0)) + 1
        lines = codes[known.item]
        bought = PairCounts.of(known.user, lines, width)
        pair = bought.places(known.user, lines)
        last = np.zeros(len(bought.keys), dtype=np.float32)
        last[pair] = np.minimum(known.days_ago, _LONG_AGO)

        def counted(chosen: np.ndarray) -> np.ndarray:
            return np.bincount(chosen, minlength=len(bought.keys)).astype(np.float32)

        return cls(
            codes=codes,
            bought=bought,
            recent=counted(pair[known.recent(RECENT_DAYS)]),
            different=counted(pair[known.first]),
            last=last,
            of_groups=np.bincount(lines, minlength=width),
            of_users=np.bincount(known.user, minlength=known.users).astype(np.float32),
            lines=known.lines,
        )

    def inputs(self, name: str, user: np.ndarray, item: np.ndarray) -> Inputs:
        """How much of what she buys is like the candidate, and when she bought it last."""
        codes = self.codes[item]
        pair = self.bought.places(user, codes)  # the one search, which is what takes the time
        bought, recent, different = (
            np.append(counts, np.float32(0))[pair]
            for counts in (self.bought.counts, self.recent, self.different)
        )
        all_lines, hers = self.of_groups[codes], _of_user(self.of_users, user)
        return {
            f"{name}_share": bought / np.maximum(hers, 1),
            f"{name}_28d": recent,
            f"{name}_affinity": bought / np.sqrt(all_lines + 10),
            f"{name}_lift": (bought + 0.5) / (all_lines * hers / max(self.lines, 1) + 0.5),
            f"{name}_variety": different / np.maximum(bought, 1),
            f"{name}_days_since": np.append(self.last, np.float32(np.nan))[pair],
        }


def _kind_price(known: PurchaseSnapshot, kind: np.ndarray) -> np.ndarray:
    """Mean logarithm of the price of all lines of each kind, float32 [kinds]; NaN = none."""
    priced = np.isfinite(known.log_price)
    kinds = kind[known.item[priced]]
    size = int(kind.max(initial=0)) + 1
    lines = np.bincount(kinds, minlength=size)
    sums = np.bincount(kinds, known.log_price[priced], minlength=size)
    return np.where(lines > 0, sums / np.maximum(lines, 1), np.nan).astype(np.float32)


def _of_user(values: np.ndarray, user: np.ndarray) -> np.ndarray:
    """Values of users by row, NaN for an unknown one."""
    return np.append(values, np.float32(np.nan))[user]  # -1 is the last


def _sum_by(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.bincount(codes, values)


def _crossed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Codes of the pairs that occur, int32 [items]."""
    pairs = one.astype(np.int64) * (int(other.max(initial=0)) + 1) + other
    return np.unique(pairs, return_inverse=True)[1].astype(np.int32)


def _within_request(values: np.ndarray, owner: np.ndarray, requests: int) -> np.ndarray:
    """Values less their mean, over their deviation, in each request; the least where missing."""
    finite = np.isfinite(values)
    least = np.full(requests, np.inf)  # of its own request: who else asks must not matter
    np.minimum.at(least, owner[finite], values[finite])
    filled = np.where(finite, values, np.where(np.isfinite(least), least, 0)[owner])
    count = np.maximum(np.bincount(owner, minlength=requests), 1)
    mean = np.bincount(owner, filled, minlength=requests) / count
    centred = filled - mean[owner]
    deviation = np.sqrt(np.bincount(owner, centred**2, minlength=requests) / count)
    return (centred / np.maximum(deviation, 1e-6)[owner]).astype(np.float32)
