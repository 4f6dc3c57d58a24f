"""Plots for asset metadata, as Markdown with the image inside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy
import numpy as np
import pyarrow as pa

from recsys_assets.metrics import CalibrationBin
from recsys_assets.models.index.index_tuning import Measured
from recsys_assets.models.training import EPOCH, series
from recsys_assets.terminal.figures import as_markdown, as_png

_SIZE = (9.0, 3.2)
_PANELS = {
    "recall_at_10": "recall@10",
    "recall_at_100": "recall@100",
    "ndcg_at_10": "NDCG@10",
}
_MODEL = "#1f6f8b"
_BASELINE = "#b8c4cc"
_MIB = 2**20
_LARGEST = 900.0  # points², area of the bubble of the index that takes the most memory
_CHOSEN = "#c0392b"


def rows_per_day(days: Sequence[date], series: Mapping[str, Sequence[int]]) -> str:
    """Markdown with one line per series over the days.

    Args:
        days: the days in order, at least one.
        series: for each name, a count per day.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.subplots()
    for name, counts in series.items():
        axes.plot(numpy.array(days, "datetime64[D]"), numpy.array(counts), linewidth=1, label=name)
    axes.set_ylabel("rows per day")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper right")
    return as_markdown(as_png(figure), "rows per day")


def examples_per_week(timestamps: pa.ChunkedArray) -> str:
    """Markdown with the number of examples in each week.

    Args:
        timestamps: When, [n], at least one.
    """
    from matplotlib.figure import Figure

    weeks = timestamps.to_numpy().astype("datetime64[W]")
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.subplots()
    week, count = np.unique(weeks, return_counts=True)
    axes.step(week.astype("datetime64[D]"), count, where="post", linewidth=1)
    axes.set_ylabel("examples per week")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    return as_markdown(as_png(figure), "examples per week")


def learning_curves(history: Sequence[Mapping[str, float]], shown: Sequence[str]) -> str:
    """Loss and the validation figures `shown` over the epochs, as Markdown."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(series(history, EPOCH), series(history, "loss"), marker="o")
    left.set(title="training loss", xlabel="epoch")
    for name in shown:
        values = series(history, name)
        right.plot(range(1, len(values) + 1), values, marker="o", label=name.replace("_", " "))
    right.set(title="validation week", xlabel="epoch")
    right.legend(loc="best", frameon=False)
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    return as_markdown(as_png(figure), "learning curves")


def plot_calibration(
    bins: Sequence[CalibrationBin], title: str, *, scale: Literal["linear", "log"] = "linear"
) -> bytes:
    """Observed against predicted rate of purchases, a reliability diagram: PNG.

    Args:
        bins: by rising prediction, at least one.
        title: of the plot.
        scale: of both axes; "log" where most predictions are close to 0. There a bin in which
            nothing was bought has no place, and is left out.
    """
    from matplotlib.figure import Figure

    predicted = [part["predicted"] for part in bins]
    observed = [part["observed"] for part in bins]
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.subplots()
    ends = [min(predicted) / 1.05, 1.05 * max(*predicted, *observed)]
    axes.plot(ends, ends, color="0.7", linewidth=1)
    axes.plot(predicted, observed, marker="o")
    axes.set(title=title, xlabel="predicted probability", ylabel="share of purchases")
    axes.set_xscale(scale)
    axes.set_yscale(scale, **({"nonpositive": "mask"} if scale == "log" else {}))
    axes.spines[["top", "right"]].set_visible(False)
    return as_png(figure)


def plot_evaluation(table: pa.Table, models: set[str], segment: str = "all") -> bytes:
    """Bars of one segment as PNG bytes; methods in `models` stand out from baselines."""
    from matplotlib.figure import Figure

    rows = [row for row in table.to_pylist() if row["segment"] == segment][::-1]
    names = [row["method"] for row in rows]
    colours = [_MODEL if name in models else _BASELINE for name in names]
    figure = Figure(figsize=(10, 0.42 * len(rows) + 1.2), layout="constrained")
    panels = figure.subplots(1, len(_PANELS), sharey=True)
    for axes, (column, title) in zip(panels, _PANELS.items(), strict=True):
        values = [row[column] for row in rows]
        below = [row[column] - row[f"{column}_low"] for row in rows]
        above = [row[f"{column}_high"] - row[column] for row in rows]
        axes.barh(
            names,
            values,
            xerr=[below, above],
            color=colours,
            error_kw={"ecolor": "#444444", "elinewidth": 1, "capsize": 2},
        )
        for place, (name, value) in enumerate(zip(names, values, strict=True)):
            axes.annotate(
                f"{value:.4f}",
                (0, place),
                (4, 0),
                textcoords="offset points",
                va="center",
                color="white" if name in models and value > 0 else "black",
            )
        axes.locator_params(axis="x", nbins=4)
        axes.set_title(title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("mean over households, whiskers: 95 % bootstrap interval", fontsize=9)
    return as_png(figure)


@dataclass(frozen=True)
class Point:
    """One way to search: label of the index, effort, recall, milliseconds, bytes.

    `cpu_…` is processor time, which other work on the machine does not lengthen.
    """

    label: str
    effort: int
    recall: float
    p50_ms: float
    p99_ms: float
    cpu_p50_ms: float
    cpu_p99_ms: float
    bytes: int
    build_seconds: float

    @classmethod
    def of(cls, measured: Measured) -> "Point":
        """Of a configuration that the tuning has measured."""
        return cls(
            measured.parameters.name,
            measured.parameters.effort,
            measured.recall_at_100,
            measured.p50_ms,
            measured.p99_ms,
            measured.cpu_p50_ms,
            measured.cpu_p99_ms,
            measured.bytes,
            measured.build_seconds,
        )


def recall_over_latency(
    panels: Sequence[tuple[str, Sequence[Point]]], target: float, chosen: Point | None = None
) -> bytes:
    """One panel for each title and its points; a bubble's area is the memory. PNG bytes."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(6.4 * len(panels), 4.4), layout="constrained")
    for axes, (title, points) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        most = max(point.bytes for point in points)
        for label in dict.fromkeys(point.label for point in points):
            mine = [point for point in points if point.label == label]
            drawn = axes.plot(
                [p.cpu_p50_ms for p in mine], [p.recall for p in mine], lw=1, label=label
            )
            axes.scatter(
                [p.cpu_p50_ms for p in mine],
                [p.recall for p in mine],
                s=[_LARGEST * p.bytes / most for p in mine],
                color=drawn[0].get_color(),
                alpha=0.35,
            )
        if chosen:
            axes.scatter([chosen.cpu_p50_ms], [chosen.recall], marker="x", color=_CHOSEN, zorder=3)
        axes.axhline(target, color="#888888", lw=1, ls="--")
        axes.set(xscale="log", xlabel="processor time of the median search, ms", title=title)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(max(0.0, min(p.recall for p in points) - 0.02), 1.01)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=7, loc="lower right")
    figure.supylabel("recall@100 against exact search")
    return as_png(figure)


def as_table(points: Sequence[Point], chosen: Point | None = None) -> str:
    """A Markdown table with one line for each point; the chosen one is bold."""
    lines = [
        "| index | effort | recall@100 | p50 / p99 ms | CPU p50 / p99 ms | MiB | build s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for point in points:
        mark = "**" if point == chosen else ""
        cells = (
            f"{mark}{point.label}{mark}",
            point.effort,
            f"{point.recall:.4f}",
            f"{point.p50_ms:.3f} / {point.p99_ms:.3f}",
            f"{point.cpu_p50_ms:.3f} / {point.cpu_p99_ms:.3f}",
            f"{point.bytes / _MIB:,.1f}",
            f"{point.build_seconds:,.1f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def plot_rolling_weeks(by_week: Mapping[str, Mapping[str, float]], ours: str) -> bytes:
    """NDCG@10 of every method week by week, ours in colour: PNG.

    Args:
        by_week: method -> value, by the first day of the week.
        ours: the method that stands out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    weeks = list(by_week)
    for method in by_week[weeks[0]]:
        values = [by_week[week][method] for week in weeks]
        mine = method == ours
        colour = {"color": _MODEL, "linewidth": 2.5} if mine else {"linewidth": 1, "alpha": 0.8}
        axes.plot(weeks, values, marker="o", label=method, **colour)
    axes.set(ylabel="NDCG@10", xlabel="week from")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small", ncols=3)
    return as_png(figure)
