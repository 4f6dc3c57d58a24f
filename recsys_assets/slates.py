"""Slates as a person reads them: with product texts, on the terminal."""

from datetime import UTC, datetime, time

from recsys_assets.serving.client import Recommendation
from recsys_assets.settings import Settings
from recsys_assets.storage import Store


def default_moment(settings: Settings) -> datetime:
    """Noon of the day that counts as today: a request right after what the features know."""
    return datetime.combine(settings.today, time(12), tzinfo=UTC)


def item_texts(settings: Settings) -> dict[str, str]:
    """Product text of every item by its id."""
    items = Store(settings.storage_url).table("items").read(columns=["item_id", "text"])
    return dict(zip(items["item_id"].to_pylist(), items["text"].to_pylist(), strict=True))


def print_slate(title: str, answer: Recommendation, texts: dict[str, str]) -> None:
    """Prints one answer as a table."""
    from rich.console import Console
    from rich.table import Table

    note = ", degraded" if answer.degraded else ""
    table = Table("", "item", "score", "product", title=f"{title} (release {answer.release}{note})")
    for position, (item, score) in enumerate(zip(answer.item_ids, answer.scores, strict=True), 1):
        table.add_row(str(position), item, f"{score:.3f}", texts.get(item) or "")
    Console().print(table)
