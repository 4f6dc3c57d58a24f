"""Which candidates may be promoted: rules, and the verdict with its reason.

The weights of a candidate must be better than the live ones over the same data on the newest
labelled days, must not have forgotten the older ones, must beat popularity, and must answer well
and in time. A refresh, which has no weights of its own, must not have lost what the live release
knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from recsys_assets.models.hyperparameters import parameter
from recsys_assets.settings.days import day_before

if TYPE_CHECKING:
    from recsys_assets.metrics import Estimate
    from recsys_assets.releases.release import Releases

# Weights alone on the newest and on older days, and data alone on the newest.
NEWEST, OLDER, DATA = "newest", "older", "data"


@dataclass(frozen=True)
class GateRules:
    """What a candidate is held to. Losses are shares of the live release's value."""

    judged_days: int = parameter(3, "Newest labelled days, not learned from")
    older_days: int = parameter(3, "Days of the older span")
    older_age_days: int = parameter(28, "How long before the newest days the older span ends")
    older_sessions: int = parameter(200, "Most sessions a day of the older span, drawn")
    min_households: int = parameter(100, "Households below which nothing can be judged")
    max_loss: float = parameter(0.1, "Largest loss that the newest days' interval may include")
    max_forgetting: float = parameter(0.1, "Largest loss on the older span, unless by chance")
    max_withdrawn: float = parameter(0.2, "Largest share of live's items that a refresh may lack")
    max_p50_ms: float = parameter(25.0, "Median latency that is always good enough, milliseconds")
    max_slowdown: float = parameter(2.0, "Median latency over that of live, beyond it")


@dataclass(frozen=True)
class Compared:
    """One metric over one span of days: means over households, and paired differences."""

    metric: str
    candidate: float
    live: float
    popularity: float
    over_live: "Estimate"
    over_popularity: "Estimate"


@dataclass(frozen=True)
class Comparison:
    """All metrics over one span of days. `span` says which, and what differs."""

    span: str
    days: tuple[str, ...]
    sessions: int
    households: int
    metrics: tuple[Compared, ...]

    def metric(self, name: str) -> Compared:
        """One of them by its name."""
        return next(compared for compared in self.metrics if compared.metric == name)


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate may be promoted, and every reason why not."""

    reasons: tuple[str, ...]

    @property
    def better(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    @property
    def reason(self) -> str:
        """All reasons in one line."""
        return "; ".join(self.reasons) or "better than the live release"

    @property
    def word(self) -> str:
        """As it stands in metadata."""
        return "better" if self.better else "rejected"


@dataclass(frozen=True)
class EvaluationWindow:
    """The days of a partition: what is learned from, and what is judged on (YYYY-MM-DD)."""

    through: str
    newest: tuple[str, ...]
    older: tuple[str, ...]


def evaluation_window(day: str, rules: GateRules, attribution_hours: int) -> EvaluationWindow:
    """The windows of a partition, as known at the end of `day`.

    The newest labelled days are those whose attribution windows have closed; training ends the
    day before the first of them.
    """
    last = date.fromisoformat(day) - timedelta(days=-(-attribution_hours // 24))
    newest = _days_to(last, rules.judged_days)
    through = day_before(newest[0])
    last_older = date.fromisoformat(through) - timedelta(days=rules.older_age_days)
    return EvaluationWindow(through, newest, _days_to(last_older, rules.older_days))


def unknown_to(days: Sequence[str], known_through: str) -> tuple[str, ...]:
    """Of the days, those that a release with data up to `known_through` does not know."""
    return tuple(day for day in days if day > known_through)


def judge(
    comparisons: Sequence[Comparison],
    faults: Sequence[str],
    p50_ms: tuple[float, float],
    rules: GateRules,
) -> Verdict:
    """Holds a candidate to the rules. What fresh data alone are worth does not count.

    Args:
        comparisons: over the newest days and, where there are such, over the older ones.
        faults: of its canary answers.
        p50_ms: median latency of one warm client of the candidate, and of the live release in
            the same minute. On a busy machine both are slow, which is no fault of the candidate;
            higher percentiles of a hundred requests tell more of the machine than of either.
        rules: see there.
    """
    reasons = _against_answers(faults, p50_ms, rules)
    newest = [one for one in comparisons if one.span == NEWEST]
    if not newest:
        reasons.append(
            "no labelled day that neither it nor the live release has learned from: wait for one"
        )
    for one in newest:
        reasons += _against_newest(one, rules)
    for one in comparisons:
        if one.span == OLDER:
            reasons += _against_older(one, rules)
    return Verdict(tuple(reasons))


def judge_refresh(
    gain: Comparison | None,
    withdrawn: float,
    faults: Sequence[str],
    p50_ms: tuple[float, float],
    rules: GateRules,
) -> Verdict:
    """Holds the live weights over newer data to the rules.

    Args:
        gain: of fresh data alone, where that could be measured.
        withdrawn: share of the live release's items that are in the catalogue no more.
        faults: as for `judge`.
        p50_ms: likewise.
        rules: see there.
    """
    reasons = _against_answers(faults, p50_ms, rules)
    if withdrawn > rules.max_withdrawn:
        reasons.append(
            f"{withdrawn:.1%} of the live release's items are in the catalogue no more, at most "
            f"{rules.max_withdrawn:.1%} are allowed: look at the table items, and raise "
            "max_withdrawn if that is meant"
        )
    if gain is not None and gain.households >= rules.min_households:
        ndcg = gain.metric("ndcg_at_10")
        if ndcg.over_live.high < 0 and ndcg.over_live.mean < -rules.max_loss * ndcg.live:
            reasons.append(
                f"NDCG@10 over fresh data fell by more than {rules.max_loss:.0%} of "
                f"{ndcg.live:.4f}: {ndcg.over_live}"
            )
    return Verdict(tuple(reasons))


def _against_answers(
    faults: Sequence[str], p50_ms: tuple[float, float], rules: GateRules
) -> list[str]:
    reasons = [f"canary: {fault}" for fault in faults]
    of_candidate, of_live = p50_ms
    allowed = max(rules.max_p50_ms, rules.max_slowdown * of_live)
    if of_candidate > allowed:
        reasons.append(f"p50 latency is {of_candidate:.1f} ms, at most {allowed:.1f} are allowed")
    return reasons


def _against_newest(one: Comparison, rules: GateRules) -> list[str]:
    if one.households < rules.min_households:
        return [
            f"{one.households} households in the newest days, {rules.min_households} are needed"
        ]
    ndcg = one.metric("ndcg_at_10")
    reasons = []
    if not ndcg.over_live.mean > 0:
        reasons.append(f"NDCG@10 of the newest days is not above live: {ndcg.over_live}")
    for row in one.metrics:
        if row.over_live.low < -rules.max_loss * row.live:
            reasons.append(
                f"{row.metric} of the newest days may have lost more than {rules.max_loss:.0%} "
                f"of {row.live:.4f}: {row.over_live}"
            )
    if not ndcg.over_popularity.low > 0:
        reasons.append(f"NDCG@10 is not surely above popularity: {ndcg.over_popularity}")
    return reasons


def _against_older(one: Comparison, rules: GateRules) -> list[str]:
    ndcg = one.metric("ndcg_at_10")
    if ndcg.over_live.high < 0 and ndcg.over_live.mean < -rules.max_forgetting * ndcg.live:
        return [
            f"NDCG@10 of {one.days[0]} to {one.days[-1]} fell by more than "
            f"{rules.max_forgetting:.0%} of {ndcg.live:.4f}: {ndcg.over_live}"
        ]
    return []


def _days_to(last: date, count: int) -> tuple[str, ...]:
    return tuple((last - timedelta(days=n)).isoformat() for n in range(count - 1, -1, -1))


def nothing_newer(releases: "Releases", live: int, day: str) -> str:
    """Why a refresh of the live release through a day would bring nothing; "" if it would."""
    known = releases.manifest(live)["item_features_day"]
    if day > known:
        return ""
    return f"release {live}, which is live, holds the data through {known}: {day} is no news to it"
