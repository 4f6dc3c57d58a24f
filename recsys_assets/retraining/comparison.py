"""One release against another and against popularity, on sessions whose outcome is known.

Who asked, and what was bought, is rebuilt from the interactions, so that releases can be compared
on days on which neither of them, or nothing at all, was live.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from recsys_assets.events.contract import distinct
from recsys_assets.metrics import Estimate, bootstrap, ndcg, recall
from recsys_assets.monitoring.sessions import sessions_of, to_sessions
from recsys_assets.releases.offline import Sessions
from recsys_assets.retraining.gate import DATA, NEWEST, OLDER, Compared, Comparison
from recsys_assets.storage import Store

K = 10
METRICS = {"ndcg_at_10": ndcg, "recall_at_10": recall}


@dataclass(frozen=True)
class LabelledDay:
    """The sessions of one day that led to a first-time purchase.

    Attributes:
        day: YYYY-MM-DD.
        sessions: n requests.
        relevant: n sets of items, bought for the first time within the attribution window.
        purchased: by user, what had been bought before the day.
    """

    day: str
    sessions: Sessions
    relevant: list[frozenset[str]]
    purchased: Mapping[str, frozenset[str]]


def labelled_days(store: Store, days: Sequence[str], attribution_hours: int) -> list[LabelledDay]:
    """Reads and labels the sessions of the given days.

    Args:
        store: holds interactions and user features of the days and of all before them, and
            interactions of the days in which the attribution windows close.
        days: YYYY-MM-DD.
        attribution_hours: a purchase counts that follows a request within these.

    Raises:
        MissingPartition: a day has not been materialized.
    """
    if not days:
        return []
    window = timedelta(hours=attribution_hours)
    closed = _midnight(max(days)) + timedelta(days=1) + window
    first = first_purchases(store, closed)
    frame = sessions_of(store, list(days))
    return [_labelled(day, frame, first, window) for day in days]


def first_purchases(store: Store, before: datetime) -> pl.DataFrame:
    """`user_id`, `item_id` and `first_time` of all pairs bought on days begun before `before`."""
    table = store.table("interactions")
    days = [day for day in table.days() if _midnight(day) < before]
    events = pl.DataFrame(table.read(days, ["user_id", "item_id", "timestamp", "event"]))
    return (
        events.lazy()
        .filter(pl.col("event") == "purchase")
        .group_by("user_id", "item_id")
        .agg(pl.col("timestamp").min().alias("first_time"))
        .collect()
    )


def _labelled(day: str, frame: pl.DataFrame, first: pl.DataFrame, window: timedelta) -> LabelledDay:
    midnight = _midnight(day)
    of_day = frame.filter(
        pl.col("timestamp").is_between(midnight, midnight + timedelta(days=1), closed="left")
    )
    bought = (
        of_day.select("session_id", "user_id", "timestamp")
        .join(first, on="user_id")
        .filter(pl.col("first_time").is_between(pl.col("timestamp"), pl.col("timestamp") + window))
        .group_by("user_id", "session_id")
        .agg("item_id")
    )
    labelled = of_day.join(bought, on=["user_id", "session_id"], how="inner", maintain_order="left")
    earlier = first.filter(pl.col("first_time") < midnight).join(
        labelled.select("user_id").unique(), on="user_id", how="semi"
    )
    purchased = earlier.group_by("user_id").agg("item_id").iter_rows()
    return LabelledDay(
        day,
        to_sessions(labelled.drop("item_id")),
        [frozenset(items) for items in labelled["item_id"].to_list()],
        {user: frozenset(items) for user, items in purchased},
    )


def sample(days: Sequence[LabelledDay], most: int, seed: int = 0) -> list[LabelledDay]:
    """At most `most` sessions a day, drawn without replacement; the same ones every time."""
    random = np.random.default_rng(seed)
    drawn = []
    for day in days:
        count = len(day.sessions)
        rows = np.sort(random.permutation(count)[:most])
        relevant = [day.relevant[row] for row in rows]
        drawn.append(LabelledDay(day.day, day.sessions.take(rows), relevant, day.purchased))
    return drawn


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


# Answers the sessions of a day: one array of item ids each.
Answerer = Callable[[LabelledDay], Sequence[np.ndarray]]


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
