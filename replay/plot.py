"""The whole period of a replay in one picture."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from recsys_assets.terminal.figures import as_png
from replay.quality import DayQuality, by_week
from replay.record import METHODS

_COLOURS = {"live": "tab:blue", "frozen": "tab:grey"}
_LABELS = {"live": "self-maintained release", "frozen": "first release, frozen"}


def plot_replay(
    quality: Sequence[DayQuality],
    drift: Mapping[str, Mapping[str, Any]],
    triggers: Sequence[Mapping[str, Any]],
) -> bytes:
    """PNG of drift with its triggers, quality by week, and the gain with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), layout="constrained")
    of_drift, of_quality, of_gain = figure.subplots(3, 1, sharex=True)
    _plot_drift(of_drift, drift)
    weeks = {week: values for week, values in by_week(quality).items() if week != "all"}
    middles = [np.datetime64(week) + 3 for week in weeks]
    for method in METHODS:
        shown = [values["ndcg_at_10"][method] for values in weeks.values()]
        of_quality.plot(middles, shown, "o-", color=_COLOURS[method], label=_LABELS[method])
    of_quality.set_ylabel("NDCG@10, by week")
    gains = [values["ndcg_at_10"] for values in weeks.values()]
    middle = np.array([gain["difference"] for gain in gains])
    limits = np.array([gain["interval"] for gain in gains]).reshape(-1, 2)
    of_gain.axhline(0, color="black", linewidth=0.8)
    of_gain.errorbar(
        middles, middle, yerr=np.abs(limits.T - middle), fmt="o", color="tab:blue", capsize=3
    )
    of_gain.set_ylabel("gain in NDCG@10, 95 %")
    for axes in (of_drift, of_quality, of_gain):
        _mark_triggers(axes, triggers)
    for axes in (of_drift, of_quality):
        axes.legend(loc="upper left", frameon=False)
    return as_png(figure)


def _plot_drift(axes: Any, drift: Mapping[str, Mapping[str, Any]]) -> None:
    days = [date.fromisoformat(day) for day in drift]
    largest = [values.get("max_psi", np.nan) for values in drift.values()]
    axes.plot(days, largest, color="tab:orange", label="largest PSI of the day")
    drifted = [n for n, values in enumerate(drift.values()) if values.get("state") == "drifted"]
    axes.plot(
        [days[n] for n in drifted],
        [largest[n] for n in drifted],
        "o",
        color="tab:red",
        label="day that counts as drifted",
    )
    axes.set_ylabel("drift")


def _mark_triggers(axes: Any, triggers: Sequence[Mapping[str, Any]]) -> None:
    styles = {True: ("tab:green", "promoted"), False: ("tab:red", "rejected or failed")}
    shown = set()
    for trigger in triggers:
        day = trigger["partition"] or trigger["day"]
        if not day:  # started by hand, of no day
            continue
        promoted = trigger["outcome"] == "promoted"
        colour, label = styles[promoted]
        axes.axvline(
            date.fromisoformat(day),
            color=colour,
            linestyle=":",
            label=None if promoted in shown else label,
        )
        shown.add(promoted)
