"""Plots for asset metadata, as Markdown with the image inside."""

import numpy as np
import pyarrow as pa

from recsys_assets.figures import as_markdown, as_png


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
