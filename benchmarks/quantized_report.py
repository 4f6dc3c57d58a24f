"""Tables and plot of `bench_quantized`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

_MIB = 1 << 20


def as_markdown(result: Mapping[str, Any]) -> str:
    """The tables of docs/results/quantized.md: one row a variant, and bytes by part."""
    lines = [
        "| precision | embeddings | private + shared MiB | load s | CPU ms p50 / p99 "
        "| CPU of fp32's (95 %) | on the clock p50 / p99 | NDCG@10 (loss %, 95 %) "
        "| AUC (difference, 95 %) | same slate |",
        "|---" * 10 + "|",
    ]
    for name, of in result["variants"].items():
        ndcg, auc = of["quality"]["ndcg_at_10"], of["quality"]["auc"]
        (low, high), (less, more) = ndcg["loss_percent_interval"], auc["interval"]
        fast, slow = of["cpu_share_interval"]
        cells = [
            name,
            f"{of['embeddings_ratio']:.1%}",
            f"{of['private_mib']:.0f} + {of['shared_mib']:.0f}",
            f"{of['load_seconds']:.1f}",
            "{p50:.2f} / {p99:.2f}".format(**of["cpu_ms"]),
            f"{of['cpu_share']:.0%} ({fast:.0%} to {slow:.0%})",
            "{p50:.2f} / {p99:.2f}".format(**of["wall_ms"]),
            f"{ndcg['mean']:.5f} ({ndcg['loss_percent']:+.2f}, {low:+.2f} to {high:+.2f})",
            f"{auc['mean']:.5f} ({auc['difference']:+.5f}, {less:+.5f} to {more:+.5f})",
            f"{of['quality']['slate_overlap']:.1%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_bytes(result["variants"])]) + "\n"


def _bytes(variants: Mapping[str, Any]) -> list[str]:
    """A table of MiB by part, float32 and then every variant that changes the part."""
    parts = {part: size["before"] for of in variants.values() for part, size in of["bytes"].items()}
    lines = [f"| MiB | {' | '.join(variants)} |", "|---" * (len(variants) + 1) + "|"]
    for part, before in parts.items():
        sizes = [of["bytes"].get(part, {"after": before})["after"] for of in variants.values()]
        shown = " | ".join(f"{size / _MIB:.2f}" for size in sizes)
        lines.append(f"| {part.replace('_', ' ')} | {shown} |")
    return lines


def plot(result: Mapping[str, Any]) -> bytes:
    """Memory, latency and loss of NDCG side by side, as a PNG."""
    from matplotlib.figure import Figure

    from recsys_assets.terminal.figures import as_png

    of = result["variants"]
    names = list(of)
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    memory, latency, loss = figure.subplots(1, 3)
    private = [of[name]["private_mib"] for name in names]
    memory.bar(names, private, label="private")
    shared = [of[name]["shared_mib"] for name in names]
    memory.bar(names, shared, bottom=private, label="shared by all processes")
    memory.set_title("resident memory, MiB")
    memory.legend(loc="best")
    for percentile in ("p99", "p50"):
        latency.bar(names, [of[name]["cpu_ms"][percentile] for name in names], label=percentile)
    latency.set_title("CPU time of a request, ms")
    latency.legend(loc="lower left")
    ndcg = [of[name]["quality"]["ndcg_at_10"] for name in names]
    middle = [one["loss_percent"] for one in ndcg]
    limits = np.array([one["loss_percent_interval"] for one in ndcg]).T
    loss.errorbar(names, middle, np.abs(limits - middle), fmt="o", capsize=4)
    loss.axhline(0.5, linestyle="--", color="tab:red", label="0.5 %")
    loss.set_title("loss of NDCG@10, %, 95 % interval")
    loss.legend(loc="best")
    for axes in (memory, latency, loss):
        axes.tick_params(axis="x", rotation=15)
    return as_png(figure)
