"""Pictures of a day's drift and of business figures over the days."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recsys_assets.terminal.figures import as_png

if TYPE_CHECKING:
    from recsys_assets.monitoring.business import BusinessMetrics
    from recsys_assets.monitoring.drift import DriftReport

_SIGNALS = 18
_ALERT = "#b3261e"
_QUIET = "#1f6f8b"
_FAINT = "#b8c4cc"
_COLUMNS = 2


def plot_signals(report: "DriftReport") -> bytes:
    """The signals nearest to their thresholds, as multiples of them; PNG bytes.

    The dot is the value, the bar reaches down to its lower bound: a signal alerts when all of
    the bar is beyond 1.
    """
    from matplotlib.figure import Figure

    judged = report.judged
    rated = [m for m in judged.measurements if m.threshold > 0]
    rows = sorted(rated, key=lambda m: m.low / m.threshold)[-_SIGNALS:]
    figure = Figure(figsize=(8, 0.3 * len(rows) + 1.4), layout="constrained")
    axes = figure.subplots()
    for place, measured in enumerate(rows):
        low, value = (x / measured.threshold for x in (measured.low, measured.value))
        colour = _ALERT if measured.alerts else _QUIET
        axes.plot([low, value], [place, place], color=colour, linewidth=3, alpha=0.5)
        axes.plot(value, place, "o", color=colour)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [f"{m.name} ({m.statistic})" for m in rows], fontsize=8)
    axes.set_xlabel("multiple of the threshold")
    axes.set_title(f"{report.day}, {judged.state}: {judged.samples:,} sessions", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return as_png(figure)


def plot_business(metrics: "BusinessMetrics", history: Sequence["BusinessMetrics"]) -> bytes:
    """Every figure over the earlier days and this one, which stands out; PNG bytes."""
    from matplotlib.figure import Figure

    names = list(metrics.figures)
    lines = -(-max(len(names), 1) // _COLUMNS)
    figure = Figure(figsize=(9, 1.8 * lines + 0.4), layout="constrained")
    panels = figure.subplots(lines, _COLUMNS, squeeze=False).flatten()
    fallen = {alert.name for alert in metrics.alerts}
    for axes, name in zip(panels, names, strict=False):
        days = [*(m for m in history if name in m.figures), metrics]
        figures = [m.figures[name] for m in days]
        axes.plot(range(1 - len(days), 1), figures, color=_FAINT)
        axes.plot(0, figures[-1], "o", color=_ALERT if name in fallen else _QUIET)
        axes.set_title(name, loc="left", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    figure.supxlabel(f"days before {metrics.day}", fontsize=9)
    return as_png(figure)
