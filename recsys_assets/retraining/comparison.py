"""One release against another and against popularity, on the same labelled sessions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recsys_assets.distinct import distinct
from recsys_assets.evaluation.metrics import Estimate, bootstrap, ndcg, recall
from recsys_assets.retraining.gate import DATA, NEWEST, OLDER
from recsys_assets.retraining.labelled import LabelledDay

K = 10
METRICS = {"ndcg_at_10": ndcg, "recall_at_10": recall}

# Answers the sessions of a day: one array of item ids each.
Answerer = Callable[[LabelledDay], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Compared:
    """One metric over one span of days: means over households, and paired differences."""

    metric: str
    candidate: float
    live: float
    popularity: float
    over_live: Estimate
    over_popularity: Estimate


@dataclass(frozen=True)
class Comparison:
    """All metrics over one span of days. `span` says which, and what differs: see `gate.py`."""

    span: str
    days: tuple[str, ...]
    sessions: int
    households: int
    metrics: tuple[Compared, ...]

    def metric(self, name: str) -> Compared:
        """One of them by its name."""
        return next(compared for compared in self.metrics if compared.metric == name)


def quality(
    slates: Sequence[np.ndarray], relevant: Sequence[frozenset[str]]
) -> dict[str, np.ndarray]:
    """NDCG and recall at 10 of n slates, float64 [n] each, every one with something relevant."""
    hit = np.zeros((len(slates), K), dtype=bool)
    for row, (slate, wanted) in enumerate(zip(slates, relevant, strict=True)):
        shown = slate[:K]
        hit[row, : len(shown)] = [item in wanted for item in shown]
    counts = np.array([len(wanted) for wanted in relevant], dtype=np.int64)
    return {name: metric(hit, counts, K) for name, metric in METRICS.items()}


def compare(
    span: str,
    days: Sequence[LabelledDay],
    candidate: Answerer,
    live: Answerer,
    popularity: Answerer,
) -> Comparison:
    """Asks all three the same sessions.

    A household's sessions are not independent of each other, so households are what is drawn
    for the intervals, each with the mean over its sessions.

    Raises:
        ValueError: there is no session to compare on.
    """
    users = np.concatenate([day.sessions.user_id for day in days]) if days else np.empty(0)
    if not len(users):
        raise ValueError(f"no labelled session in the {span} days: nothing to compare on")
    households, owner = distinct(users)
    found = {
        name: _by_household(answerer, days, owner)
        for name, answerer in (("candidate", candidate), ("live", live), ("popular", popularity))
    }
    return Comparison(
        span,
        tuple(day.day for day in days),
        len(users),
        len(households),
        tuple(
            Compared(
                metric,
                float(found["candidate"][metric].mean()),
                float(found["live"][metric].mean()),
                float(found["popular"][metric].mean()),
                bootstrap(found["candidate"][metric] - found["live"][metric]),
                bootstrap(found["candidate"][metric] - found["popular"][metric]),
            )
            for metric in METRICS
        ),
    )


def _by_household(
    answerer: Answerer, days: Sequence[LabelledDay], owner: np.ndarray
) -> dict[str, np.ndarray]:
    """Means of a household's sessions by metric, float64 [households]."""
    parts = [quality(answerer(day), day.relevant) for day in days]
    counts = np.bincount(owner)
    return {
        metric: np.bincount(owner, np.concatenate([part[metric] for part in parts])) / counts
        for metric in METRICS
    }


def popular_slates(item_ids: np.ndarray, popularity: np.ndarray) -> Answerer:
    """The most bought items that the user has not bought yet.

    Args:
        item_ids: object [items].
        popularity: float64 [items], NaN = never bought.
    """
    order = np.argsort(-np.nan_to_num(popularity), kind="stable")
    ranked = item_ids[order]

    def answer(day: LabelledDay) -> list[np.ndarray]:
        return [_first_unseen(ranked, day.purchased.get(user, frozenset())) for user in _users(day)]

    return answer


def _users(day: LabelledDay) -> list[str]:
    users: list[str] = day.sessions.user_id.tolist()
    return users


def _first_unseen(ranked: np.ndarray, seen: frozenset[str]) -> np.ndarray:
    few = ranked[: K + len(seen)]
    return few[[item not in seen for item in few]][:K]


# What a comparison holds against what: its title, then the two sides.
_SHOWN = {
    NEWEST: ("weights alone", "candidate", "live weights, same data"),
    OLDER: ("weights alone, older days", "candidate", "live weights, same data"),
    DATA: ("data alone", "live weights, fresh data", "live as served"),
}


def as_markdown(comparisons: Sequence[Comparison]) -> str:
    """A table a span, means and differences with their 95 % intervals."""
    lines = []
    for one in comparisons:
        title, candidate, live = _SHOWN[one.span]
        lines += [
            f"**{title}**: {', '.join(one.days)}; {one.sessions:,} sessions of "
            f"{one.households:,} households",
            "",
            f"| metric | {candidate} | {live} | popularity | difference | over popularity |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.metric} | {row.candidate:.4f} | {row.live:.4f} | {row.popularity:.4f} "
            f"| {_signed(row.over_live)} | {_signed(row.over_popularity)} |"
            for row in one.metrics
        ]
        lines.append("")
    return "\n".join(lines)


def _signed(estimate: Estimate) -> str:
    return f"{estimate.mean:+.4f} ({estimate.low:+.4f} to {estimate.high:+.4f})"
