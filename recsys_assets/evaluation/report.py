"""The evaluation table: methods by segments, with intervals, as Arrow and as Markdown.

Segments say whom, and which items, a figure is about.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import sparse

from recsys_assets import metrics
from recsys_assets.evaluation.split import Split

KNOWN_FROM_ITEMS = 50  # distinct items in history from which a household counts as known
DESCRIPTIONS = {
    "all": "every household that asks",
    "known_users": f"at least {KNOWN_FROM_ITEMS} distinct items in history",
    "little_history": f"1 to {KNOWN_FROM_ITEMS - 1} distinct items in history",
    "unseen_users": "nothing in history",
    "new_items": "only items never sold in history count as relevant",
}
RECALL_AT = (10, 100, 300)
NDCG_AT = 10
_INTERVALS = ("recall_at_10", "recall_at_100", "recall_at_300", "ndcg_at_10")
_SHOWN = ("recall_at_10", "recall_at_100", "ndcg_at_10")
SCHEMA = pa.schema(
    [
        pa.field("method", pa.string()),
        pa.field("segment", pa.string()),
        pa.field("requests", pa.int64()),
        pa.field("relevant_items", pa.int64()),
        *(
            pa.field(f"{name}{suffix}", pa.float64())
            for name in _INTERVALS
            for suffix in ("", "_low", "_high")
        ),
        pa.field("pooled_recall_at_10", pa.float64()),
        pa.field("pooled_recall_at_100", pa.float64()),
        pa.field("coverage_at_10", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Segment:
    """Rows of the requests that belong, int64 [m], and what counts as relevant, CSR [m, items]."""

    name: str
    rows: np.ndarray
    relevant: sparse.csr_matrix

    @property
    def relevant_counts(self) -> np.ndarray:
        """Number of relevant items of each request of the segment, int64 [m]."""
        return np.diff(self.relevant.indptr)


def segments(split: Split) -> list[Segment]:
    """The segments that have requests, in the order of `DESCRIPTIONS`."""
    relevant = split.requests.relevant
    items_seen = np.diff(split.requests.seen.indptr)
    new = _only(relevant, split.purchases == 0)
    chosen = {
        "all": (np.ones(len(items_seen), dtype=bool), relevant),
        "known_users": (items_seen >= KNOWN_FROM_ITEMS, relevant),
        "little_history": ((items_seen > 0) & (items_seen < KNOWN_FROM_ITEMS), relevant),
        "unseen_users": (items_seen == 0, relevant),
        "new_items": (np.diff(new.indptr) > 0, new),
    }
    return [
        Segment(name, np.flatnonzero(mask), matrix[mask])
        for name, (mask, matrix) in chosen.items()
        if mask.any()
    ]


def departments(split: Split, department: np.ndarray) -> list[Segment]:
    """For each department, the requests with a relevant item of it, where nothing else counts.

    Args:
        split: what was asked and what was right.
        department: object [items], its name; "" belongs to none.
    """
    relevant = split.requests.relevant
    found = []
    for name in sorted(set(department[relevant.indices]) - {""}):
        of_department = _only(relevant, department == name)
        rows = np.flatnonzero(np.diff(of_department.indptr))
        found.append(Segment(name, rows, of_department[rows]))
    return found


def _only(relevant: sparse.csr_matrix, items: np.ndarray) -> sparse.csr_matrix:
    """What is relevant of the chosen items, bool [items]."""
    chosen = sparse.csr_matrix(relevant @ sparse.diags(items.astype(np.float32)))
    chosen.eliminate_zeros()
    return chosen


def evaluate(slates: Mapping[str, np.ndarray], split: Split) -> pa.Table:
    """Measures every method on every segment.

    Args:
        slates: method -> int32 [requests, 300], rows of the catalogue in order, -1 for no item.
        split: what was asked and what was right.

    Returns:
        A table of `SCHEMA`, one row per method and segment.
    """
    rows = [
        {"method": method} | _measure(shown, segment, len(split.item_ids))
        for method, shown in slates.items()
        for segment in segments(split)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _measure(slates: np.ndarray, segment: Segment, items: int) -> dict[str, object]:
    shown, relevant = slates[segment.rows], segment.relevant_counts
    hit = metrics.hits(shown, segment.relevant)
    values = {f"recall_at_{k}": metrics.recall(hit, relevant, k) for k in RECALL_AT}
    values[f"ndcg_at_{NDCG_AT}"] = metrics.ndcg(hit, relevant, NDCG_AT)
    row: dict[str, object] = {
        "segment": segment.name,
        "requests": len(segment.rows),
        "relevant_items": int(relevant.sum()),
        "pooled_recall_at_10": metrics.pooled_recall(hit, relevant, 10),
        "pooled_recall_at_100": metrics.pooled_recall(hit, relevant, 100),
        "coverage_at_10": metrics.coverage(shown, items, 10),
    }
    for name, per_request in values.items():
        estimate = metrics.bootstrap(per_request)
        row |= {
            name: estimate.mean,
            f"{name}_low": estimate.low,
            f"{name}_high": estimate.high,
        }
    return row


def implausible(table: pa.Table) -> list[str]:
    """Figures outside [0, 1], not finite, or outside their own interval, as `method segment name`.

    A rounding error is no fault: limits may cross the mean by 1e-9.
    """
    shares = [name for name in SCHEMA.names if "_at_" in name]
    faults = []
    for row in table.to_pylist():
        where = f"{row['method']} {row['segment']}"
        faults += [f"{where} {name}" for name in shares if not 0 <= row[name] <= 1]
        for name in _INTERVALS:
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            if not low - 1e-9 <= row[name] <= high + 1e-9:
                faults.append(f"{where} {name} interval")
    return faults


@dataclass(frozen=True)
class MethodComparison:
    """One method against a baseline: paired differences over all requests, with intervals."""

    baseline: str
    recall_at_10: metrics.Estimate
    ndcg_at_10: metrics.Estimate

    @property
    def better(self) -> bool:
        """Whether both figures are above the baseline's."""
        return self.recall_at_10.mean > 0 and self.ndcg_at_10.mean > 0


def compare(method: str, slates: Mapping[str, np.ndarray], split: Split) -> list[MethodComparison]:
    """The method against each other one in `slates`, household by household."""
    relevant = split.requests.relevant
    counts = np.diff(relevant.indptr)
    hit = {name: metrics.hits(shown, relevant) for name, shown in slates.items()}

    def difference(name: str, measure: metrics.Metric) -> metrics.Estimate:
        return metrics.bootstrap(measure(hit[method], counts, 10) - measure(hit[name], counts, 10))

    return [
        MethodComparison(name, difference(name, metrics.recall), difference(name, metrics.ndcg))
        for name in slates
        if name != method
    ]


def as_markdown(table: pa.Table, segment: str = "all") -> str:
    """One segment of the evaluation table as Markdown, means with their 95 % intervals."""
    lines = [
        "| method | recall@10 | recall@100 | NDCG@10 | coverage@10 |",
        "|---|---|---|---|---|",
    ]
    for row in table.to_pylist():
        if row["segment"] == segment:
            cells = [_with_interval(row, name) for name in _SHOWN]
            coverage = f"{row['coverage_at_10']:.2%}"
            lines.append("| " + " | ".join([row["method"], *cells, coverage]) + " |")
    return "\n".join(lines)


def segments_as_markdown(table: pa.Table) -> str:
    """recall@10, recall@100 and NDCG@10 of every method in every segment as Markdown."""
    rows = table.to_pylist()
    found = {row["segment"]: row for row in rows}
    lines = []
    for name, about in found.items():
        lines += [
            f"**{name}**: {DESCRIPTIONS[name]}; {about['requests']:,} households, "
            f"{about['relevant_items']:,} relevant items",
            "",
            as_markdown(table, name),
            "",
        ]
    return "\n".join(lines)


def comparison_as_markdown(comparisons: list[MethodComparison]) -> str:
    """Paired differences as Markdown."""
    lines = ["| against | Δ recall@10 | Δ NDCG@10 |", "|---|---|---|"]
    lines += [f"| {one.baseline} | {one.recall_at_10} | {one.ndcg_at_10} |" for one in comparisons]
    return "\n".join(lines)


def _with_interval(row: dict[str, float], name: str) -> str:
    return f"{row[name]:.4f} ({row[f'{name}_low']:.4f} to {row[f'{name}_high']:.4f})"
