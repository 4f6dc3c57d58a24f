"""The evaluation as a picture: one panel per metric, one bar per method, whiskers for 95 %."""

import pyarrow as pa

from recsys_assets.figures import as_png

_PANELS = {
    "recall_at_10": "recall@10",
    "recall_at_100": "recall@100",
    "ndcg_at_10": "NDCG@10",
}
_MODEL = "#1f6f8b"
_BASELINE = "#b8c4cc"


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
