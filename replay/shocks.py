"""Changes of the world, made to recorded traffic, each alone: what monitoring must find.

Every shock takes the traffic of a day and gives it back changed. Draws are seeded, so a shock is
the same on every run.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from recsys_assets.monitoring.profile import CONCEPT, CONTEXT, DEMAND, NULLS, PRICES, Usual
from recsys_assets.monitoring.traffic import Traffic

Change = Callable[[Traffic], Traffic]

_RISE = 1.3
_VANISHES_FROM = 0.02  # smallest share of the lines of the department that vanishes
_NEW_SHARE = 0.1
_FLIPPED = 0.5
_NULL_SHARE = 0.2
_NEW_DEVICE = "web"
_NEW_DEPARTMENT = "NEW DEPARTMENT"
_NOT_SERVED = ("user_id", "session_id", "timestamp", "device", "day")


@dataclass(frozen=True)
class Shock:
    """A change and the alerts that name it rightly: (group, names), any name if there are none."""

    change: Change
    group: str
    names: frozenset[str] = frozenset()

    def is_named_by(self, group: str, name: str) -> bool:
        """Whether an alert of that signal is the right cause."""
        return group == self.group and (not self.names or name in self.names)


def all_shocks(reference: Traffic, seed: int = 0) -> dict[str, Shock]:
    """The seven shocks by name.

    Args:
        reference: traffic that knows the departments and the usual prices.
        seed: of the draws.
    """
    department = smaller_department(reference.purchases)
    usual = Usual.fit(reference.purchases)
    category = frozenset({"category_l1"})
    return {
        "prices_up_30_percent": Shock(prices_up, PRICES, frozenset({"price_ratio"})),
        "department_vanishes": Shock(lambda t: without(t, department), DEMAND, category),
        "new_department_sells": Shock(lambda t: new_department(t, seed), DEMAND, category),
        "device_mix_flips": Shock(
            lambda t: devices_flipped(t, seed), CONTEXT, frozenset({"device"})
        ),
        "nulls_20_percent": Shock(lambda t: nulls(t, seed), NULLS),
        "labels_inverted": Shock(labels_inverted, CONCEPT, frozenset({"auc", "auc_floor"})),
        "popularity_reshuffled": Shock(
            reshuffled(usual, reference.purchases, seed), DEMAND, frozenset({"popularity"})
        ),
    }


def prices_up(traffic: Traffic) -> Traffic:
    """Every price rises by 30 %; discounts stay what they were in money."""
    return _bought(traffic, traffic.purchases.with_columns(pl.col("price") * _RISE))


def without(traffic: Traffic, department: str) -> Traffic:
    """Nothing of one department is sold any more."""
    return _bought(traffic, traffic.purchases.filter(pl.col("category_l1").ne_missing(department)))


def smaller_department(purchases: pl.DataFrame) -> str:
    """The third largest, or the smallest of fewer, of those with a fiftieth of the lines."""
    found = purchases.drop_nulls("category_l1")["category_l1"].value_counts(sort=True)
    large = found.filter(pl.col("count") >= _VANISHES_FROM * len(purchases))
    return str(large["category_l1"][min(2, len(large) - 1)])


def new_department(traffic: Traffic, seed: int) -> Traffic:
    """A tenth of the lines are items of a department that was never sold before."""
    rows = traffic.purchases
    chosen = pl.Series(np.random.default_rng(seed).random(len(rows)) < _NEW_SHARE)
    changed = rows.with_columns(
        category_l1=pl.when(chosen).then(pl.lit(_NEW_DEPARTMENT)).otherwise("category_l1"),
        item_id=pl.when(chosen).then(pl.lit("new ") + pl.col("item_id")).otherwise("item_id"),
        new=pl.col("new") | chosen,
    )
    return _bought(traffic, changed)


def devices_flipped(traffic: Traffic, seed: int) -> Traffic:
    """Half of the households come by another device: the next one by name, or a new one."""
    devices = sorted(traffic.requests["device"].unique().to_list())
    others = {d: devices[(n + 1) % len(devices)] for n, d in enumerate(devices)}
    if len(devices) == 1:
        others = {devices[0]: _NEW_DEVICE}
    users = traffic.requests["user_id"].unique().sort()
    flipped = users.filter(pl.Series(np.random.default_rng(seed).random(len(users)) < _FLIPPED))
    device = (
        pl.when(pl.col("user_id").is_in(flipped.to_list()))
        .then(pl.col("device").replace(others))
        .otherwise("device")
    )
    return replace(
        traffic,
        requests=traffic.requests.with_columns(device=device),
        purchases=traffic.purchases.with_columns(device=device),
    )


def nulls(traffic: Traffic, seed: int) -> Traffic:
    """A fifth of all served features are missing."""
    rng = np.random.default_rng(seed)
    kept = {
        name: pl.Series(rng.random(len(traffic.requests)) >= _NULL_SHARE)
        for name in traffic.requests.columns
        if name not in _NOT_SERVED
    }
    served = [pl.when(mask).then(pl.col(name)).alias(name) for name, mask in kept.items()]
    return replace(traffic, requests=traffic.requests.with_columns(served))


def labels_inverted(traffic: Traffic) -> Traffic:
    """What is bought is what ranked low: every pair of candidates is now in the wrong order."""
    return replace(traffic, labels=traffic.labels.with_columns(auc=1 - pl.col("auc")))


def reshuffled(usual: Usual, purchases: pl.DataFrame, seed: int) -> Change:
    """What was bought as one item is now another of its department, at that one's usual price.

    Args:
        usual: prices of the reference.
        purchases: of the reference; their items are permuted within departments.
        seed: of the permutation.
    """
    rng = np.random.default_rng(seed)
    items = purchases.select("item_id", "category_l1").unique("item_id").sort("item_id")
    parts = [
        part.with_columns(other=part["item_id"].gather(rng.permutation(len(part))))
        for part in items.partition_by("category_l1", maintain_order=True)
    ]
    price = usual.total.select("item_id", usual=pl.col("price_sum") / pl.col("priced"))
    swap = (
        pl.concat(parts)
        .join(price, on="item_id", how="left")
        .join(price, left_on="other", right_on="item_id", how="left", suffix="_other")
        .select("item_id", "other", factor=pl.col("usual_other") / pl.col("usual"))
    )
    factor = pl.when(pl.col("factor").is_finite()).then("factor").otherwise(1.0)

    def change(traffic: Traffic) -> Traffic:
        rows = traffic.purchases.join(swap, on="item_id", how="left", maintain_order="left")
        changed = rows.with_columns(
            item_id=pl.coalesce("other", "item_id"),
            price=pl.col("price") * factor,
            discount=pl.col("discount") * factor,
        )
        return _bought(traffic, changed.drop("other", "factor"))

    return change


def _bought(traffic: Traffic, purchases: pl.DataFrame) -> Traffic:
    return replace(traffic, purchases=purchases)
