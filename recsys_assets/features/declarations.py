"""Features, declared once; engines compute them, stores serve them, models name them.

An aggregate is given as SQL expressions over one event, a function and windows of whole UTC
days. Nothing here belongs to an engine: `spark_batch.py` drives Spark with these declarations,
and an engine on a stream can be driven by the same ones, for every aggregate is built of parts
that can be added and taken away (counts, sums of whole numbers, multisets). Money is therefore
summed in whole ten-thousandths: such a sum does not depend on the order of its terms, so batch,
stream and replay agree to the last bit.

Time: the row of day D holds the values at D+1 00:00 UTC, its `event_timestamp`, the first moment
at which they are known. A window of w days covers the event days D-w+1 ... D.

What does not belong here: attributes, which are columns of `users` and `items`, and request-time
features, which need the moment of the request (`request_time.py`).
"""

from dataclasses import dataclass
from typing import Literal, TypeVar

DType = Literal["int64", "float64", "string"]

WINDOWS = (1, 7, 28)
MONEY_SCALE = 10_000

_PURCHASE = "event = 'purchase'"
_PRICED = f"{_PURCHASE} AND price IS NOT NULL"


def _money(expression: str) -> str:
    """SQL for an amount in whole ten-thousandths of the currency, halves rounded up."""
    return f"CAST(FLOOR(({expression}) * {MONEY_SCALE} + 0.5) AS BIGINT)"


_SPEND = _money("COALESCE(quantity, 1) * (price - COALESCE(discount, 0))")


@dataclass(frozen=True)
class WindowAggregate:
    """One aggregate of an entity's events over each of `windows` days: columns `<name>_<w>d`.

    `function` is `count` (events), `sum` (of a whole-number expression, divided by `scale`),
    `distinct` (different values) or `mode` (most frequent value, ties to the first by name).
    Without any event, counts and sums are 0 and the mode is null. `published` is False for a
    part that only other features need.
    """

    name: str
    function: Literal["count", "sum", "distinct", "mode"]
    description: str
    windows: tuple[int, ...] = WINDOWS
    expression: str = "1"
    where: str = _PURCHASE
    scale: int = 1
    published: bool = True

    @property
    def dtype(self) -> DType:
        """Type of each column."""
        if self.function == "mode":
            return "string"
        return "float64" if self.scale != 1 else "int64"

    def column(self, window: int) -> str:
        """Name of the column over `window` days."""
        return f"{self.name}_{window}d"

    @property
    def columns(self) -> dict[str, DType]:
        """Published columns and their types."""
        return {self.column(w): self.dtype for w in self.windows} if self.published else {}


@dataclass(frozen=True)
class Ratio:
    """One column of the same row divided by another; null where the divisor is 0."""

    name: str
    numerator: str
    denominator: str
    description: str

    @property
    def columns(self) -> dict[str, DType]:
        """The column and its type."""
        return {self.name: "float64"}


@dataclass(frozen=True)
class LastDayRatio:
    """Ratio of two sums over the last day, within `within` days, that has a matching event.

    `numerator` and `denominator` are whole-number expressions; the ratio is divided by `scale`.
    Null without a matching event, or where the divisor is 0.
    """

    name: str
    numerator: str
    denominator: str
    where: str
    description: str
    scale: int = 1
    within: int = max(WINDOWS)

    @property
    def columns(self) -> dict[str, DType]:
        """The column and its type."""
        return {self.name: "float64"}


@dataclass(frozen=True)
class LastTime:
    """Time of the last matching event in whole epoch seconds.

    With `within`, null once it is that many days old. Without, it never expires; that is sound
    only for a feature set whose rows come from events alone, as a row always has an event within
    the longest window and one day.
    """

    name: str
    where: str
    description: str
    within: int | None = None

    @property
    def columns(self) -> dict[str, DType]:
        """The column and its type."""
        return {self.name: "int64"}


@dataclass(frozen=True)
class FirstTime:
    """Time of the first matching event of all history in whole epoch seconds.

    Of everything declared here, this alone looks back beyond the longest window. Its state is a
    table that holds, of each day, the first event of each entity on it: `state_table`. The first
    of all history is the least of them, also after a day has been put right.
    """

    name: str
    where: str
    description: str
    state_table: str

    @property
    def columns(self) -> dict[str, DType]:
        """The column and its type."""
        return {self.name: "int64"}


@dataclass(frozen=True)
class PlannedValue:
    """A value of the promotion plan that is valid at a moment; 0 where none is.

    A plan is made ahead of time, so what is valid at a moment is known then, and a release can
    hold what will be valid in the days to come. Of several promotions valid at once the strongest
    counts.
    """

    name: str
    description: str

    @property
    def columns(self) -> dict[str, DType]:
        """The column and its type."""
        return {self.name: "float64"}


Feature = WindowAggregate | Ratio | LastDayRatio | LastTime | FirstTime | PlannedValue
F = TypeVar("F", bound=Feature)


@dataclass(frozen=True)
class FeatureSet:
    """Features of one kind of entity: a table and a feature view of the same name."""

    name: str
    key: str
    features: tuple[Feature, ...]

    @property
    def columns(self) -> dict[str, DType]:
        """Feature columns in order, with their types; neither key nor event_timestamp."""
        return {
            column: dtype for feature in self.features for column, dtype in feature.columns.items()
        }

    @property
    def descriptions(self) -> dict[str, str]:
        """What each column holds."""
        return {
            column: _windowed(feature, column)
            for feature in self.features
            for column in feature.columns
        }

    @property
    def lookback_days(self) -> int:
        """Event days before day D that can change a value of D: the longest window.

        An event of D-w is no longer in the window of w days that ends on D, and was in the one
        that ended on D-1: it changes the value by leaving.
        """
        return max(self.change_offsets)

    @property
    def change_offsets(self) -> tuple[int, ...]:
        """Days after an event on which some value changes because of it, 0 included."""
        windows = {w for f in self.of(WindowAggregate) for w in f.windows}
        windows |= {f.within for f in self.of(LastDayRatio)}
        windows |= {f.within for f in self.of(LastTime) if f.within}
        return (0, *sorted(windows))

    def of(self, kind: type[F]) -> tuple[F, ...]:
        """The features of one kind, in order."""
        return tuple(feature for feature in self.features if isinstance(feature, kind))


def _windowed(feature: Feature, column: str) -> str:
    if not isinstance(feature, WindowAggregate):
        return feature.description
    days = column.removeprefix(f"{feature.name}_").removesuffix("d")
    return f"{feature.description}, last {days} day{'s' if days != '1' else ''}"


USER_FEATURES = FeatureSet(
    name="user_features",
    key="user_id",
    features=(
        LastTime("last_event_at", "TRUE", "Last event of any kind, epoch seconds"),
        WindowAggregate("events", "count", "Events of any kind", where="TRUE"),
        WindowAggregate("purchases", "count", "Purchased lines"),
        WindowAggregate(
            "spend",
            "sum",
            "Money spent, after discounts",
            expression=_SPEND,
            where=_PRICED,
            scale=MONEY_SCALE,
        ),
        WindowAggregate(
            "distinct_items",
            "distinct",
            "Different items in events of any kind",
            expression="item_id",
            where="TRUE",
        ),
        WindowAggregate(
            "top_category",
            "mode",
            "Second-level category with most purchased lines",
            expression="category_l2",
        ),
        WindowAggregate(
            "baskets", "distinct", "Purchase sessions", windows=(28,), expression="session_id"
        ),
        WindowAggregate(
            "basket_spend",
            "sum",
            "Money spent in sessions",
            windows=(28,),
            expression=_SPEND,
            where=f"{_PRICED} AND session_id IS NOT NULL",
            scale=MONEY_SCALE,
            published=False,
        ),
        Ratio(
            "basket_value_28d",
            "basket_spend_28d",
            "baskets_28d",
            "Mean money spent per session, last 28 days",
        ),
        WindowAggregate(
            "discounted_purchases",
            "count",
            "Purchased lines with a discount",
            windows=(28,),
            where=f"{_PURCHASE} AND discount > 0",
            published=False,
        ),
        Ratio(
            "discount_share_28d",
            "discounted_purchases_28d",
            "purchases_28d",
            "Share of purchased lines that had a discount, last 28 days",
        ),
        WindowAggregate(
            "top_store",
            "mode",
            "Store with most purchased lines",
            windows=(28,),
            expression="store_id",
        ),
    ),
)

ITEM_FEATURES = FeatureSet(
    name="item_features",
    key="item_id",
    features=(
        LastDayRatio(
            "price",
            _money("price"),
            "1",
            _PRICED,
            "Mean unit price before discount on the last day sold within 28 days",
            scale=MONEY_SCALE,
        ),
        LastDayRatio(
            "discount",
            _money("COALESCE(discount, 0)"),
            _money("price"),
            _PRICED,
            "Discount as a share of the price on the last day sold within 28 days, 0 to 1",
        ),
        WindowAggregate("popularity", "count", "Purchased lines"),
        FirstTime(
            "first_sold_at", _PURCHASE, "First purchase ever, epoch seconds", "item_first_sold"
        ),
        LastTime(
            "last_sold_at", _PURCHASE, "Last purchase within 28 days, epoch seconds", within=28
        ),
    ),
)

# Rows at the moments of change, not at midnights: a plan changes when a promotion begins or ends.
ITEM_PROMOTIONS = FeatureSet(
    name="item_promotions",
    key="item_id",
    features=(
        PlannedValue("display", "Share of stores that display the item now, 0 to 1"),
        PlannedValue("mailer", "Share of stores whose current mailer shows the item, 0 to 1"),
    ),
)

# What the engine computes from events, a partition a day.
DAILY_FEATURE_SETS = (USER_FEATURES, ITEM_FEATURES)
FEATURE_SETS = (*DAILY_FEATURE_SETS, ITEM_PROMOTIONS)
