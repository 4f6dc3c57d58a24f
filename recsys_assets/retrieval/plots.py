"""Plots of a training, as Markdown with the PNG inside."""

from collections.abc import Mapping, Sequence

from recsys_assets.figures import as_markdown, as_png
from recsys_assets.retrieval.reporting import EPOCH, series

_SIZE = (9.0, 3.2)


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
    right.legend(frameon=False)
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    return as_markdown(as_png(figure), "learning curves")
