"""Slates as a person reads them: with product texts, on the terminal."""

from collections.abc import Iterable
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

from recsys_assets.serving.client import Recommendation
from recsys_assets.settings import Settings
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from rich.table import Table


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
