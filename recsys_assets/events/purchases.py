"""What each user has bought, and for how much, from the interactions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recsys_assets.storage import Store

if TYPE_CHECKING:
    import polars as pl


def paid() -> "pl.Expr":
    """What was paid for a purchased line, of `quantity`, `price` and `discount`.

    As the features count money: without a quantity one unit, without a price nothing is known.
    """
    import polars as pl

    return pl.col("quantity").fill_null(1) * (pl.col("price") - pl.col("discount").fill_null(0))


def purchased_items(store: Store, through: str) -> dict[str, list[str]]:
    """Distinct items that each user bought on days up to `through` (YYYY-MM-DD), included."""
    return purchased_on(
        store, [day for day in store.table("interactions").days() if day <= through]
    )


def purchased_on(store: Store, days: Sequence[str]) -> dict[str, list[str]]:
    """Distinct items that each user bought on the given days.

    Raises:
        MissingPartition: a day has not been materialized.
    """
    import polars as pl

    if not days:
        return {}
    columns = ["user_id", "item_id", "event"]
    events = pl.DataFrame(store.table("interactions").read(days, columns=columns))
    bought = (
        events.filter(pl.col("event") == "purchase")
        .group_by("user_id")
        .agg(pl.col("item_id").unique())
        .sort("user_id")
    )
    return dict(zip(bought["user_id"].to_list(), bought["item_id"].to_list(), strict=True))
