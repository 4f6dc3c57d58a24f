"""Plots for asset metadata, as Markdown with the image inside."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy

from recsys_assets.figures import as_markdown, as_png


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
