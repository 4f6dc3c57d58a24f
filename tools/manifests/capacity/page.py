"""The capacity page: its tables and its plot. Formulas and prose are in `capacity/text.py`."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tools.manifests.capacity.arithmetic import ITEMS, USERS, Capacity, Plan
from tools.manifests.capacity.text import (
    FORMULAS,
    INTRODUCTION,
    evaluate,
    names,
    straight,
    with_numbers,
)

_INDEXES = ("flat", "hnsw", "ivfsq8", "ivfpq")
_GPU_BYTES = 24e9  # of an A10G


def page(capacity: Capacity) -> str:
    """The page as Markdown."""
    a = capacity.assumed
    plans = {(users, items): capacity.plan(users, items) for users in USERS for items in ITEMS}
    parts = [
        "# Capacity",
        INTRODUCTION,
        "![Memory of a pod and cost](capacity.png)",
        "## What it takes",
        _plans(plans.values()),
        f"Pods have {a.pod_cores} cores. **As built** every model process holds "
        f"everything; where that exceeds {a.pod_limit / 1e9:.0f} GB a pod, the row is "
        "of the **lean** layout, which is not built (see the end), so a larger shop may cost less. "
        f"{_first(capacity)} Where a pod needs more than 32 GiB, a node is a part of a larger one.",
        "## Dollars a month",
        _costs(plans.values()),
        "## Items",
        _items(capacity),
        f"By its memory one GPU of 24 GB holds {_gpu_vectors(capacity) / 1e6:.0f} million vectors "
        "in a flat index; no GPU was at hand to measure it.",
        "## Users",
        _users(capacity),
        "## The arithmetic",
        _worked(capacity),
        "## Where the line is not straight",
        straight(capacity),
        "## Inputs",
        "### Measured",
        _inputs(capacity.measured),
        "### Assumed",
        _inputs(capacity.assumed),
        "### Prices",
        (type(capacity.prices).__doc__ or "").split("\n\n")[0],
        _inputs(capacity.prices),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _millions(number: int) -> str:
    return "1 B" if number == 10**9 else f"{number // 10**6} M"


def _plans(plans: Iterable[Plan]) -> str:
    head = (
        "users, items, requests/s at peak, layout, shards, GB a pod, pods, nodes of 32 GiB, "
        "online store GB, its nodes, Spark executors, GPU h a training, S3 TB"
    )
    return _table(
        head.split(", "),
        (
            (
                _millions(plan.users),
                _millions(plan.items),
                f"{plan.peak_requests:,.0f}",
                plan.layout.name,
                plan.shards,
                f"{plan.pod_bytes / 1e9:,.0f}",
                plan.pods,
                plan.serving_nodes,
                f"{plan.store_bytes / 1e9:,.1f}",
                plan.store_nodes,
                plan.executors,
                f"{plan.training_hours:.2f}",
                f"{plan.s3_bytes / 1e12:,.1f}",
            )
            for plan in plans
        ),
    )


def _costs(plans: Iterable[Plan]) -> str:
    known = list(plans)
    names = list(known[0].month)
    return _table(
        ["users", "items", *names, "all"],
        (
            [_millions(plan.users), _millions(plan.items)]
            + [f"{plan.month[name]:,.0f}" for name in names]
            + [f"**{plan.total:,.0f}**"]
            for plan in known
        ),
    )


def _items(capacity: Capacity) -> str:
    built, lean = capacity.layouts()
    least = USERS[0]
    head = ["items", *(f"{kind} index GB" for kind in _INDEXES), "text fp32 / int8 GB"]
    head += [f"pod as built, {_millions(least)} users, GB", "pod lean, GB", "what to do"]
    return _table(
        head,
        (
            [_millions(items)]
            + [f"{capacity.index_bytes(kind, items) / 1e9:,.1f}" for kind in _INDEXES]
            + [_text(capacity, items)]
            + [f"{capacity.pod_bytes(built, least, items) / 1e9:,.0f}"]
            + [f"{capacity.pod_bytes(lean, least, items) / 1e9:,.0f}"]
            + [_advice(capacity.plan(least, items))]
            for items in ITEMS
        ),
    )


def _text(capacity: Capacity, items: int) -> str:
    full = items * capacity.measured.text_item / 1e9
    return f"{full:,.1f} / {full * capacity.measured.text_item_int8:,.1f}"


def _advice(plan: Plan) -> str:
    if plan.layout.name == "as built":
        return "runs as it is"
    if plan.shards == 1:
        return "8-bit vectors, IVF-SQ8, one copy a pod"
    if plan.items < ITEMS[-1]:
        return f"{plan.shards} shards, or item features from SSD"
    return f"{plan.shards} shards are too many: vectors and features on SSD, or a GPU tier"


def _users(capacity: Capacity) -> str:
    built, lean = capacity.layouts()
    m, a = capacity.measured, capacity.assumed
    rows = []
    for users in USERS:
        answers = users * a.daily_active * a.requests_a_day * a.log_hours / 24
        held = users * (2 * m.purchase_counts + m.id_rows)
        rows.append(
            (
                _millions(users),
                f"{users * (m.user_features + m.seen_filter) / 1e9:,.1f}",
                f"{answers * m.logged_answer / 1e9:,.1f}",
                f"{capacity.store_bytes(built, users, 0) / 1e9:,.1f}",
                f"{held / 1e9:,.1f}",
                f"{capacity.store_bytes(lean, users, 0) / 1e9:,.1f}",
            )
        )
    head = (
        "users; features and filters GB; uncollected log GB; online store as built GB; "
        "rows inside each model process GB; online store with those rows GB"
    )
    return _table(head.split("; "), rows)


def _worked(capacity: Capacity) -> str:
    """Each formula, with its numbers, for the smallest shop."""
    users, items = USERS[0], ITEMS[0]
    known = names(capacity, users, items)
    rows = []
    for result, formula in FORMULAS.items():
        numbers = with_numbers(formula, known)
        known[result] = evaluate(formula, known)
        rows.append((f"`{result} = {formula}`", f"`{numbers}`", f"{known[result]:,.10g}"))
    title = (
        f"For {_millions(users)} users and {_millions(items)} items, in the units of the inputs:"
    )
    return f"{title}\n\n" + _table(["formula", "numbers", "gives"], rows)


def _first(capacity: Capacity) -> str:
    """What fills a pod of the smallest shop."""
    m, a = capacity.measured, capacity.assumed
    rows = a.releases_loaded * a.pod_cores * USERS[0] * (2 * m.purchase_counts + m.id_rows)
    pod = capacity.pod_bytes(capacity.layouts()[0], USERS[0], ITEMS[0])
    return (
        f"Of the {pod / 1e9:.0f} GB in the first row {rows / 1e9:.0f} are purchase counts, "
        "which each process holds: they are the first thing to move into the online store."
    )


def _gpu_vectors(capacity: Capacity) -> float:
    return _GPU_BYTES / capacity.measured.index_flat


def _inputs(inputs: Any) -> str:
    return _table(
        ["input", "value", "unit", "from"],
        (
            (f"`{known.name}`", _number(getattr(inputs, known.name)), *known.metadata.values())
            for known in fields(inputs)
        ),
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def plot(capacity: Capacity, path: Path) -> None:
    """Memory of a pod over items, and dollars a month over users."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    memory, cost = figure.subplots(1, 2)
    for layout, style in zip(capacity.layouts(), ("-", "--"), strict=True):
        for users in USERS if layout.holds_users else USERS[:1]:
            sizes = [capacity.pod_bytes(layout, users, items) / 1e9 for items in ITEMS]
            name = f"{layout.name}, {_millions(users)} users" if layout.holds_users else layout.name
            memory.loglog(ITEMS, sizes, style, marker="o", label=name)
    memory.axhline(
        capacity.assumed.pod_limit / 1e9, color="gray", linestyle=":", label="a pod's limit"
    )
    memory.set(xlabel="items", ylabel="GB a Triton pod", title="Memory")
    for items in ITEMS:
        totals = [capacity.plan(users, items).total for users in USERS]
        cost.loglog(USERS, totals, marker="o", label=f"{_millions(items)} items")
    cost.set(xlabel="users", ylabel="$ a month", title="Cost, by the first layout that fits")
    for axes in (memory, cost):
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize=8)
    figure.savefig(path, dpi=110)
