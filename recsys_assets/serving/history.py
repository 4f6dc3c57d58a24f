"""What each user has bought, from the interactions."""

from recsys_assets.storage import Store


def purchased_items(store: Store, through: str) -> dict[str, list[str]]:
    """Distinct items that each user bought on days up to `through` (YYYY-MM-DD), included."""
    import polars as pl

    table = store.table("interactions")
    days = [day for day in table.days() if day <= through]
    if not days:
        return {}
    columns = ["user_id", "item_id", "event"]
    events = pl.DataFrame(table.read(days, columns=columns))
    bought = (
        events.filter(pl.col("event") == "purchase")
        .group_by("user_id")
        .agg(pl.col("item_id").unique())
        .sort("user_id")
    )
    return dict(zip(bought["user_id"].to_list(), bought["item_id"].to_list(), strict=True))
