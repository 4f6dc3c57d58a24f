"""Does monitoring keep quiet when nothing changes, and speak up when something does?

Both experiments run on recorded traffic and judge every day by `drift.judge`, as the daily report
does. Nothing here is part of the daily loop.

The control deals what each household did on a day to a random day, and so has a reference and
days to judge of one and the same world, with the households, baskets and answers of the real one.
"""

from dataclasses import replace
from datetime import date, timedelta
from typing import TypedDict

import numpy as np
import polars as pl

from recsys_assets.monitoring.drift import DriftVerdict, judge
from recsys_assets.monitoring.loading import (
    OUTCOMES,
    SERVED_DAYS,
    LiveWeights,
    answered_traffic,
    day_traffic,
    reference_days,
    reference_traffic,
)
from recsys_assets.monitoring.profile import Profile
from recsys_assets.monitoring.thresholds import DRIFTED, DriftThresholds
from recsys_assets.monitoring.traffic import Traffic, recorded_traffic
from recsys_assets.settings.days import days_between
from recsys_assets.storage import Store
from replay.shocks import Shock, all_shocks

_SHOCK_WITHIN = 14  # days of the release
_ANSWERED_DAYS = 7  # of the control's reference, as of the first week of a release


class Control(TypedDict):
    """Outcome of the stationary control: `drifted` days, and days that would have triggered."""

    days: int
    drifted: int
    triggers: int
    causes: list[str]


class Finding(TypedDict):
    """Outcome of one shock.

    `day` is its first full day; `cause` that of the top alert; `found` says that the day was
    judged drifted, and for the right cause.
    """

    found: bool
    day: str
    cause: str


def shock_day(store: Store, live: LiveWeights, thresholds: DriftThresholds) -> str:
    """The last day of the release's first two weeks with enough labelled answers of it.

    Raises:
        ValueError: there is none.
    """
    table = store.table(OUTCOMES)
    days = [day for day in table.days() if day > live.trained_through][:_SHOCK_WITHIN]
    for day in reversed(days):
        rows = pl.DataFrame(table.read([day], columns=["release", "auc"])).drop_nulls("auc")
        if rows["release"].is_in(list(live.releases)).sum() >= thresholds.min_labelled:
            return day
    raise ValueError(
        f"release {live.release} has no day with {thresholds.min_labelled} labelled answers among "
        f"{', '.join(days) or 'none'}: let it serve, and materialize outcomes, before the shocks"
    )


def stationary_control(
    store: Store,
    live: LiveWeights,
    thresholds: DriftThresholds,
    drift_days: tuple[int, int],
    days: int = 60,
    seed: int = 0,
) -> Control:
    """Judges days of a world without drift.

    Requests and purchases are those of the days up to the end of the release's training. Scores
    and labels are drawn from those of the release's first answered month, for they have none.

    Args:
        store: holds `thresholds.reference_days + days` days up to `live.trained_through`, and
            answers of the release after it.
        live: the release.
        thresholds: those of the daily report.
        drift_days: (k, n): a trigger needs k drifted days of n.
        days: to judge.
        seed: of the dealing.

    Raises:
        MissingPartition: a day is missing.
    """
    count = thresholds.reference_days + days
    through = date.fromisoformat(live.trained_through)
    span = days_between(through - timedelta(days=count - 1), through)
    month = (through + timedelta(days=SERVED_DAYS + 1)).isoformat()
    answered = answered_traffic(store, live, month, SERVED_DAYS)
    dealt = _deal(recorded_traffic(store, span), answered, seed)
    order = dealt.requests["day"].unique().sort().to_list()
    reference = _days_of(dealt, order[:-days])
    week = order[-days - _ANSWERED_DAYS : -days]
    reference = replace(
        reference, scores=_on(reference.scores, week), labels=_on(reference.labels, week)
    )
    profile = Profile.fit(reference, live.known)
    judged = [judge(profile, _days_of(dealt, [day]), thresholds) for day in order[-days:]]
    drifted = [one.state == DRIFTED for one in judged]
    return Control(
        days=len(judged),
        drifted=sum(drifted),
        triggers=triggers(drifted, drift_days),
        causes=[one.alerts[0].cause for one in judged if one.alerts],
    )


def shocks(
    store: Store, live: LiveWeights, thresholds: DriftThresholds, day: str, seed: int = 0
) -> dict[str, Finding]:
    """Makes each shock to a recorded day, and measures it as that day was measured.

    Args:
        store: holds all that `drift.measure` reads for `day`.
        live: the release that answered on `day`.
        thresholds: those of the daily report.
        day: YYYY-MM-DD, the first full day of every shock.
        seed: of the shocks' draws.

    Raises:
        MissingPartition: a table lacks a day.
    """
    days = reference_days(store, live, day, thresholds.reference_days)
    reference = reference_traffic(store, live, days, day)
    current = day_traffic(store, live, day).traffic
    profile = Profile.fit(reference, live.known)
    return {
        name: _finding(judge(profile, shock.change(current), thresholds), shock, day)
        for name, shock in all_shocks(reference, seed).items()
    }


def triggers(drifted: list[bool], drift_days: tuple[int, int]) -> int:
    """Days on which at least k of the last n days drifted, (k, n), that day among them.

    No cool-down is taken off, so it counts more triggers than a sensor would act on.
    """
    k, n = drift_days
    return sum(
        today and sum(drifted[max(0, place - n + 1) : place + 1]) >= k
        for place, today in enumerate(drifted)
    )


def _finding(judged: DriftVerdict, shock: Shock, day: str) -> Finding:
    if not judged.alerts:
        return Finding(found=False, day=day, cause="")
    top = judged.alerts[0]
    return Finding(found=shock.is_named_by(top.group, top.name), day=day, cause=top.cause)


def _deal(recorded: Traffic, answered: Traffic, seed: int) -> Traffic:
    """Deals households' days to the recorded days at random, as many to each as it had."""
    rng = np.random.default_rng(seed)
    pairs = recorded.requests.select("user_id", "day").unique().sort("day", "user_id")
    dealt = pairs.with_columns(to=pairs["day"].gather(rng.permutation(len(pairs))))
    requests = recorded.requests.join(dealt, on=["user_id", "day"], maintain_order="left")
    shift = pl.col("to") - pl.col("day")
    if "last_event_at" in requests.columns:
        requests = requests.with_columns(pl.col("last_event_at") + shift.dt.total_seconds())
    purchases = recorded.purchases.join(dealt, on=["user_id", "day"], maintain_order="left")
    sizes = pairs.group_by("day").len().sort("day")
    return Traffic(
        _moved(requests, shift),
        _moved(purchases, shift),
        _drawn(answered.scores, sizes, rng),
        _drawn(answered.labels, sizes, rng),
    )


def _moved(rows: pl.DataFrame, shift: pl.Expr) -> pl.DataFrame:
    moved = rows.with_columns(timestamp=pl.col("timestamp") + shift, day=pl.col("to"))
    return moved.drop("to")


def _drawn(answered: pl.DataFrame, sizes: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """For each day as many of the answered sessions as given, drawn with replacement."""
    if answered.is_empty():
        return answered
    day = sizes["day"].gather(np.repeat(np.arange(len(sizes)), sizes["len"].to_numpy()))
    return answered[rng.integers(len(answered), size=len(day))].with_columns(day=day)


def _days_of(traffic: Traffic, days: list[date]) -> Traffic:
    return Traffic(
        _on(traffic.requests, days),
        _on(traffic.purchases, days),
        _on(traffic.scores, days),
        _on(traffic.labels, days),
    )


def _on(rows: pl.DataFrame, days: list[date]) -> pl.DataFrame:
    return rows.filter(pl.col("day").is_in(days))
