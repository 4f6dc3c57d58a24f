"""Recall of vector indexes over what a search costs, as a picture and as a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from recsys_assets.models.index.index_tuning import Measured
from recsys_assets.terminal.figures import as_png

_MIB = 2**20
_LARGEST = 900.0  # points², area of the bubble of the index that takes the most memory
_CHOSEN = "#c0392b"


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
