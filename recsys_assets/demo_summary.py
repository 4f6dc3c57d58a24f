"""The end of `recsys demo`: what somebody who has waited for it wants to see first.

Slates are shown as a person reads them: with product texts.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_assets.settings import Settings
from recsys_assets.storage import Store
from recsys_assets.terminal.screen import Screen
from recsys_assets.triton.client import Recommendation

if TYPE_CHECKING:
    from rich.table import Table

# Figures by their name in the summary; their columns in the table `evaluation`.
METRICS = {
    "recall@10": "recall_at_10",
    "recall@100": "recall_at_100",
    "ndcg@10": "ndcg_at_10",
    "coverage@10": "coverage_at_10",
}
_SHOWN_ITEMS = 5
_OURS = "two_stage"
_PLAIN = {
    "popularity": "popularity",
    "popularity_28d": "popularity, 28 days",
    "item_knn": "item-item cosine",
    "als": "ALS",
    "ease": "EASE",
    "two_tower": "two-tower alone",
    "two_stage": "this recommender",
}


def show_summary(screen: Screen, summary: dict[str, Any], path: Path) -> None:
    """Shows slates, quality, speed, and where to look next.

    Args:
        screen: where to.
        summary: as `recsys_assets.demo` writes it.
        path: where it is written.
    """
    slates = summary["recommendations"]
    known = [slate for slate in slates if slate["kind"] == "known"][-1]
    for slate in (known, slates[-1]):
        screen.show(_slate(slate))
    screen.show(quality_table(summary["evaluation"]))
    serving, parity = summary["serving"], summary["parity"]
    screen.show(
        f"latency of {serving['requests']} requests by one client: p50 {serving['p50_ms']:.1f} ms, "
        f"p99 {serving['p99_ms']:.1f} ms; {serving['degraded']} degraded"
    )
    screen.show(
        f"features served against features trained on: {parity['compared']} values compared, "
        f"{parity['different']} different"
    )
    screen.show(
        f"next: `recsys recommend --user {known['user_id']}` asks again, `recsys ui` shows the "
        f"asset graph, `recsys down` stops the services\nall figures: {path}"
    )


def quality_table(evaluation: dict[str, dict[str, float]]) -> "Table":
    """Every method's figures, the best NDCG first."""
    from rich.table import Table

    table = Table("method", *METRICS, title="the week after, whole catalogue ranked, best first")
    for method in sorted(evaluation, key=lambda name: -evaluation[name]["ndcg@10"]):
        style = "bold" if method == _OURS else None
        figures = (f"{evaluation[method][metric]:.4f}" for metric in METRICS)
        table.add_row(_PLAIN.get(method, method), *figures, style=style)
    return table


def _slate(slate: dict[str, Any]) -> "Table":
    who = f"user {slate['user_id']}" if slate["user_id"] else "an anonymous visitor"
    items = slate["items"][:_SHOWN_ITEMS]
    rows = ((item["item_id"], item["score"], item["text"]) for item in items)
    return slate_table(f"for {who}, the first {len(items)} of {len(slate['items'])}", rows)


def default_moment(settings: Settings) -> datetime:
    """Noon of the day that counts as today: a request right after what the features know."""
    return datetime.combine(settings.today, time(12), tzinfo=UTC)


def item_texts(settings: Settings) -> dict[str, str]:
    """Product text of every item by its id."""
    items = Store(settings.storage_url).table("items").read(columns=["item_id", "text"])
    return dict(zip(items["item_id"].to_pylist(), items["text"].to_pylist(), strict=True))


def slate_table(title: str, rows: Iterable[tuple[str, float, str]]) -> "Table":
    """A slate as rich shows it; rows are item id, score and product text."""
    from rich.table import Table

    table = Table("", "item", "score", "product", title=title)
    for position, (item, score, text) in enumerate(rows, 1):
        table.add_row(str(position), item, f"{score:.3f}", text)
    return table


def print_slate(title: str, answer: Recommendation, texts: dict[str, str]) -> None:
    """Prints one answer as a table."""
    from rich.console import Console

    note = ", degraded" if answer.degraded else ""
    rows = zip(answer.item_ids, answer.scores, strict=True)
    Console().print(
        slate_table(
            f"{title} (release {answer.release}{note})",
            ((item, score, texts.get(item) or "") for item, score in rows),
        )
    )
