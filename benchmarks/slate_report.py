"""The table and the picture of settings of the slate: `slate.py`."""

from collections.abc import Sequence
from typing import Any

from recsys_assets.metrics import Estimate
from recsys_assets.terminal.figures import as_png

Row = dict[str, Any]

_COLOURS = {
    "none": "#222222",
    "mmr": "#1f6f8b",
    "dpp": "#c8553d",
    "sampling": "#8a8a8a",
    "mmr, sampling": "#d0a215",
}


def as_markdown(settings: Sequence[Row], ranked: Sequence[Row]) -> str:
    """Both tables."""
    lines = [
        "| setting | NDCG@10 (of seeds) | difference to none (95 %) | recall@10 | coverage@10 "
        "| intra-list diversity | distinct category_l2 | µs a slate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['name']} | {row['ndcg_at_10']:.4f}{_of_seeds(row)} "
        f"| {Estimate(*row['ndcg_at_10_difference'])} "
        f"| {row['recall_at_10']:.4f} | {row['coverage_at_10']:.2%} "
        f"| {row['intra_list_diversity']:.3f} | {row['distinct_category_l2']:.2f} "
        f"| {row['microseconds']:.0f} |"
        for row in settings
    ]
    lines += [
        "",
        "| ranked | NDCG@10 | difference to the most (95 %) | recall@10 | difference |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['ranked']} | {row['ndcg_at_10']:.4f} | {Estimate(*row['ndcg_at_10_difference'])} "
        f"| {row['recall_at_10']:.4f} | {Estimate(*row['recall_at_10_difference'])} |"
        for row in ranked
    ]
    return "\n".join([*lines, ""])


def _of_seeds(row: Row) -> str:
    least, most = row["ndcg_at_10_of_seeds"]
    return f" ({least:.4f} to {most:.4f})" if len(row["seeds"]) > 1 else ""


def plot(settings: Sequence[Row], households: int) -> bytes:
    """NDCG over intra-list diversity as PNG bytes, a line for each kind of setting.

    Whiskers are intervals of the difference to the first setting.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    by_diversity = sorted(settings, key=lambda row: row["intra_list_diversity"])
    for kind, colour in _COLOURS.items():
        rows = [row for row in by_diversity if _kind(row) == kind]
        differences = [row["ndcg_at_10_difference"] for row in rows]
        axes.errorbar(
            [row["intra_list_diversity"] for row in rows],
            [row["ndcg_at_10"] for row in rows],
            yerr=[
                [middle - low for middle, low, _ in differences],
                [high - middle for middle, _, high in differences],
            ],
            fmt="o-",
            color=colour,
            linewidth=0.8,
            elinewidth=0.6,
            label=kind,
        )
        for row in rows:
            axes.annotate(
                _point(row, settings[0]["pool"]),
                (row["intra_list_diversity"], row["ndcg_at_10"]),
                (4, -11 if kind == "dpp" else 5),
                textcoords="offset points",
                color=colour,
                fontsize=8,
            )
    axes.axhline(settings[0]["ndcg_at_10"], color=_COLOURS["none"], linewidth=0.6, linestyle=":")
    axes.set_xlabel("intra-list diversity: mean of 1 - cosine of texts over pairs of a slate")
    axes.set_ylabel("NDCG@10")
    axes.set_title(
        f"{households:,} households; whiskers: 95 % of the difference to none", loc="left"
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False, title="setting: trade-off, or temperature")
    return as_png(figure)


def _kind(row: Row) -> str:
    if row["temperature"] > 0:
        return "sampling" if row["method"] == "none" else f"{row['method']}, sampling"
    return str(row["method"])


def _point(row: Row, usual_pool: int) -> str:
    """What tells a point from others of its kind."""
    if row["temperature"] > 0:
        return str(row["temperature"])
    if row["method"] == "none":
        return ""
    wider = row["pool"] != usual_pool
    return f"{row['trade_off']}, pool {row['pool']}" if wider else str(row["trade_off"])
