"""The calibration plot."""

from collections.abc import Sequence

from recsys_assets.figures import as_markdown, as_png
from recsys_assets.ranking.quality import CalibrationBin


def calibration_plot(bins: Sequence[CalibrationBin]) -> str:
    """Observed against predicted rate of purchases, as Markdown with the PNG inside."""
    from matplotlib.figure import Figure

    predicted = [part["predicted"] for part in bins]
    observed = [part["observed"] for part in bins]
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.subplots()
    limit = 1.05 * max(*predicted, *observed)
    axes.plot([0, limit], [0, limit], color="0.7", linewidth=1)
    axes.plot(predicted, observed, marker="o")
    axes.set(
        title="calibration, validation week",
        xlabel="predicted probability",
        ylabel="share of purchases",
    )
    axes.spines[["top", "right"]].set_visible(False)
    return as_markdown(as_png(figure), "calibration")
