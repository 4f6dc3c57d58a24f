"""A shop of ten weeks, in which each customer buys of her half of the catalogue."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.candidates.boosted_ranker import Boosting
from recsys_assets.candidates.declarations import BOUGHT_BEFORE, SOURCES
from recsys_assets.candidates.ease import Ease
from recsys_assets.evaluation.rolling import RollingWeeks, Shop
from recsys_assets.models.item_history import Changes

FIRST = date(2025, 1, 6)
WEEK = FIRST + timedelta(weeks=8)
ITEMS = [f"i{number}" for number in range(40)]
NO_PLAN = Changes(np.zeros(0, np.int64), {"display": np.zeros(0), "mailer": np.zeros(0)})


@pytest.fixture
def few_buyers(monkeypatch):
    """Thirty customers are enough to say what is bought together."""
    fit = Ease.fit
    monkeypatch.setattr(Ease, "fit", lambda history, *_: fit(history, 5.0, 2))


def events(weeks=10, users=30, seed=0):
    """Each customer buys five items a week, mostly of her half of the catalogue."""
    random = np.random.default_rng(seed)
    rows = []
    for day in range(0, weeks * 7, 7):
        for user in range(users):
            half = np.arange(20) + 20 * (user % 2)
            for item in random.choice(half, 5, replace=False):
                moment = datetime(FIRST.year, FIRST.month, FIRST.day, 9, tzinfo=UTC)
                moment += timedelta(days=day + int(random.integers(7)))
                rows.append((f"u{user:02}", ITEMS[item], moment))
    return table(rows)


def table(rows):
    user, item, moment = zip(*rows, strict=True)
    count = len(rows)
    return pa.table(
        {
            "user_id": pa.array(user, pa.string()),
            "item_id": pa.array(item, pa.string()),
            "timestamp": pa.array(moment, pa.timestamp("us", tz="UTC")),
            "event": ["purchase"] * count,
            "device": pa.nulls(count, pa.string()),
            "quantity": pa.nulls(count, pa.int64()),
            "price": pa.array(np.ones(count)),
            "discount": pa.nulls(count, pa.float64()),
            "store_id": pa.array(["s"] * count),
        }
    )


def shop(interactions):
    items = pa.table({"item_id": ITEMS, "category_l1": [f"c{n // 5}" for n in range(40)]})
    return Shop.from_tables(interactions, items, ["category_l1"], NO_PLAN)


def rolling(interactions=None, repeats=False):
    boosting = Boosting(trees=10, min_leaf_examples=5, negatives=1.0)
    known = shop(events() if interactions is None else interactions)
    declared = (*SOURCES, BOUGHT_BEFORE) if repeats else SOURCES
    return RollingWeeks(known, declared, repeats, boosting, ranker_weeks=4)
