"""Pictures of the benchmarks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.serving.throughput import P99_LIMIT_MS
from benchmarks.serving.timeline import Second
from recsys_assets.terminal.figures import as_png
from recsys_assets.triton.client import MODEL
from recsys_assets.triton.repository import PIPELINE

_PERCENTILES = {"p50_ms": "-", "p99_ms": "--"}
_KINDS = {"refused": "tab:orange", "expired": "tab:brown", "deadline": "tab:red", "other": "k"}
_QUEUE = "tab:grey"
_WAITING = "waiting"
_LEAST_LABELLED_MS = 2.0  # the names of shorter stages would lie upon each other


def plot_rates(layouts: Mapping[str, Any], stages: Mapping[str, Any]) -> bytes:
    """PNG of latency over offered rate, one colour for each layout, and of time by stage."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    of_rates, of_stages = figure.subplots(1, 2, width_ratios=[3, 2])
    for number, (name, layout) in enumerate(layouts.items()):
        _plot_layout(of_rates, name, layout["rates"], f"C{number}")
    of_rates.axhline(P99_LIMIT_MS, color="black", linewidth=0.8, linestyle=":")
    of_rates.set_xscale("log")
    of_rates.set_yscale("log")
    of_rates.set_xlabel("requests/s offered (Poisson arrivals)")
    of_rates.set_ylabel("latency from the scheduled arrival, ms")
    of_rates.set_title("p50 (line) and p99 (dashes)")
    of_rates.legend(loc="best", frameon=False)
    _plot_stages(of_stages, stages)
    return as_png(figure)


def plot_timeline(
    seconds: Sequence[Second], marks: Mapping[str, float], title: str, limit_ms: float
) -> bytes:
    """PNG of each second: rates of answers and failures, latency, and degraded answers.

    Args:
        seconds: in order.
        marks: names of what happened, with the second.
        title: of the picture.
        limit_ms: drawn as a line over the latencies.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    of_rates, of_latency, of_degraded = figure.subplots(3, 1, sharex=True)
    at = [second.second for second in seconds]
    of_rates.set_title(title)
    of_rates.step(
        at, [second.offered for second in seconds], color="tab:grey", label="offered", where="post"
    )
    of_rates.step(
        at,
        [second.answered for second in seconds],
        color="tab:green",
        label="answered",
        where="post",
    )
    for kind, colour in _KINDS.items():
        counts = [second.failed.get(kind, 0) for second in seconds]
        if any(counts):
            of_rates.step(at, counts, color=colour, label=kind, where="post")
    of_rates.set_ylabel("requests/s")
    of_latency.semilogy(at, [second.p50_ms for second in seconds], label="p50")
    of_latency.semilogy(at, [second.p99_ms for second in seconds], label="p99")
    of_latency.axhline(limit_ms, color="black", linewidth=0.8, linestyle=":")
    of_latency.set_ylabel("ms, of those accepted")
    of_degraded.step(at, [second.degraded for second in seconds], color="tab:purple", where="post")
    of_degraded.set_ylabel("degraded answers/s")
    of_degraded.set_xlabel("seconds")
    for axes in (of_rates, of_latency, of_degraded):
        for name, moment in marks.items():
            axes.axvline(moment, color="black", linestyle="--", linewidth=0.8)
            if axes is of_rates:
                axes.annotate(name, (moment, 1), xycoords=("data", "axes fraction"), fontsize=8)
    of_rates.legend(frameon=False, loc="lower left")
    of_latency.legend(frameon=False, loc="upper left")
    return as_png(figure)


def plot_memory(
    minutes: Sequence[float], megabytes: Mapping[str, Sequence[float]], p99_ms: Sequence[float]
) -> bytes:
    """PNG of each process's memory over time, and of the p99 of each segment."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    of_memory, of_latency = figure.subplots(2, 1)
    for name, values in megabytes.items():
        of_memory.plot(minutes, values, label=name)
    of_memory.set_ylabel("proportional memory, MB")
    of_memory.set_xlabel("minutes")
    of_memory.legend(loc="best", frameon=False, fontsize=8)
    of_latency.plot(range(1, len(p99_ms) + 1), p99_ms, "o-")
    of_latency.set_ylabel("p99, ms")
    of_latency.set_xlabel("segment")
    return as_png(figure)


def _plot_layout(axes: Any, name: str, rates: Mapping[str, Any], colour: str) -> None:
    offered = sorted(rates, key=float)
    for percentile, style in _PERCENTILES.items():
        axes.plot(
            [float(rate) for rate in offered],
            [rates[rate][percentile] for rate in offered],
            style,
            marker=".",
            color=colour,
            label=name if style == "-" else None,
        )


def _plot_stages(axes: Any, stages: Mapping[str, Any]) -> None:
    """Bars of milliseconds by layout, summed up from left."""
    for row, parts_of in enumerate(stages.values()):
        left = 0.0
        for number, (label, milliseconds) in enumerate(_parts(parts_of)):
            waiting = label == _WAITING
            colour = _QUEUE if waiting else f"C{number % 10}"
            axes.barh(row, milliseconds, left=left, color=colour, height=0.5)
            if milliseconds > _LEAST_LABELLED_MS and not waiting:
                axes.annotate(label, (left, row + 0.27), fontsize=7, rotation=30)
            left += milliseconds
    axes.set_yticks(np.arange(len(stages)), list(stages))
    axes.set_ylim(-0.5, len(stages))
    axes.set_xlabel("ms of a request, waiting for a model process in grey")
    axes.set_title("time by stage")


def _parts(parts_of: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Labels and milliseconds: waiting for and computing in each model, in alphabetical order.

    Ensembles are left out, whose time is that of their steps. A model that tells its own stages is
    shown by these; what is left of its time, such as waiting for others of the batch, is `rest`.
    """
    parts: list[tuple[str, float]] = []
    for model, times in sorted(parts_of.items()):
        if not isinstance(times, Mapping) or "queue_ms" not in times or model.startswith(MODEL):
            continue
        computing = sum(times.values()) - times["queue_ms"]
        parts.append((_WAITING, times["queue_ms"]))
        own = parts_of.get("stages", {}) if model == PIPELINE else {}
        parts += [(stage.removesuffix("_ms"), value) for stage, value in own.items()]
        left = max(0.0, computing - sum(own.values()))
        parts.append(("rest" if own else model, left))
    return parts
