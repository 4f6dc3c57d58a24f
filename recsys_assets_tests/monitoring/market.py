"""A small market whose days are all alike: the same households, departments and prices."""

from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import INTERACTIONS
from recsys_assets.events.ingest import record_catalogue
from recsys_assets.features.backfill import snapshot_schema
from recsys_assets.features.declarations import ITEM_FEATURES, USER_FEATURES
from recsys_assets.features.encoding import Encoding, ModelEncoding, Vocabulary
from recsys_assets.monitoring.profile import ModelVocabulary
from recsys_assets.monitoring.traffic import LABELS_SCHEMA, Traffic, with_day
from recsys_assets.releases.release import Promoted
from recsys_assets.storage import Store

FIRST_DAY = date(2025, 3, 3)  # a Monday
HOUSEHOLDS, ITEMS, A_DAY = 400, 120, 200
DEPARTMENTS = ("food", "home", "toys", "tools")
KNOWN = ModelVocabulary(
    frozenset(f"user-{n}" for n in range(HOUSEHOLDS)), frozenset(f"item-{n}" for n in range(ITEMS))
)


def day_of(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


def purchase_rows(number: int) -> list[dict[str, object]]:
    """Baskets of one day: four lines each, favourites more often, prices that vary a little."""
    rng = np.random.default_rng(number)
    weight = 1 / np.arange(1, ITEMS + 1)
    rows: list[dict[str, object]] = []
    midnight = datetime.combine(day_of(number), time())
    for user in rng.choice(HOUSEHOLDS, size=A_DAY, replace=False):
        moment = midnight + timedelta(seconds=int(rng.integers(8 * 3600, 20 * 3600)))
        for item in rng.choice(ITEMS, size=4, replace=False, p=weight / weight.sum()):
            price = (1 + item % 17) * float(rng.choice([0.9, 1.0, 1.0, 1.1]))
            rows.append(
                {
                    "user_id": f"user-{user}",
                    "item_id": f"item-{item}",
                    "timestamp": moment,
                    "event": "purchase",
                    "session_id": f"{number}-{user}",
                    "quantity": 1,
                    "price": price,
                    "discount": price * float(rng.choice([0.0, 0.0, 0.2])),
                    "device": "mobile" if user % 4 else "web",
                    "store_id": None,
                }
            )
    return sorted(rows, key=lambda row: (row["timestamp"], row["user_id"]))


def traffic(*numbers: int, auc: float = 0.7) -> Traffic:
    """The days of those numbers, with labels of that mean AUC."""
    rows = [row for number in numbers for row in purchase_rows(number)]
    lines = with_day(pl.DataFrame(pa.Table.from_pylist(rows, schema=INTERACTIONS.schema)))
    lines = lines.with_columns(
        category_l1=pl.col("item_id")
        .str.slice(5)
        .cast(pl.Int64)
        .map_elements(_department, pl.String),
        new=pl.lit(False),
    )
    requests = lines.unique(["user_id", "day"], maintain_order=True).select(
        "user_id", "timestamp", "device", "day"
    )
    rng = np.random.default_rng(sum(numbers) + 1)
    count = len(requests)
    requests = requests.with_columns(
        age=pl.Series(rng.choice(["young", "old", None], count).tolist(), dtype=pl.String),
        spend_28d=pl.Series(rng.gamma(2.0, 20.0, count)),
        last_event_at=pl.col("timestamp").dt.epoch("s").cast(pl.Float64)
        - rng.gamma(2, 90_000, count),
    )
    scores = requests.select(
        "day", "user_id", candidate_scores=pl.Series(rng.beta(2, 5, (count, 20)).tolist())
    )
    labels = requests.select(
        "day",
        "user_id",
        auc=pl.Series(rng.normal(auc, 0.1, count)),
        predicted=pl.Series(rng.gamma(2, 0.5, count)),
        observed=pl.Series(rng.poisson(1.0, count)).cast(pl.Float64),
    )
    return Traffic(
        requests,
        lines.drop("event", "session_id", "store_id"),
        scores.with_columns(pl.col("candidate_scores").cast(pl.List(pl.Float32))),
        labels.cast(dict(LABELS_SCHEMA)),
    )


def write_market(store: Store, days: int, answered_from: int) -> None:
    """All tables that drift is measured on; days from `answered_from` on were served."""
    attributes = {"user_id": [f"user-{n}" for n in range(HOUSEHOLDS)], "age": _ages()}
    store.table("users").write(pa.table(attributes))
    start = pa.scalar(datetime.combine(FIRST_DAY, time()), pa.timestamp("us", "UTC"))
    valid = pa.repeat(start, HOUSEHOLDS)
    store.table("user_attributes").write(pa.table({**attributes, "event_timestamp": valid}))
    items = {
        "item_id": [f"item-{n}" for n in range(ITEMS)],
        "category_l1": [_department(n) for n in range(ITEMS)],
    }
    record_catalogue(store, pa.table(items), FIRST_DAY)
    for number in range(days):
        _write_day(store, number, answered=number >= answered_from)


def _write_day(store: Store, number: int, *, answered: bool) -> None:
    day = day_of(number).isoformat()
    rows = purchase_rows(number)
    events = pa.Table.from_pylist(rows, schema=INTERACTIONS.schema)
    store.table("interactions").write(events, day)
    store.table("item_features").write(snapshot_schema(ITEM_FEATURES).empty_table(), day)
    store.table("user_features").write(_features(number, rows), day)
    if answered:
        store.table("request_log").write(request_log(store, number), day)
        store.table("outcomes").write(outcomes(number), day)


def _features(number: int, rows: list[dict[str, object]]) -> pa.Table:
    midnight = datetime.combine(day_of(number + 1), time())
    users = sorted({str(row["user_id"]) for row in rows})
    schema = snapshot_schema(USER_FEATURES)
    known = [
        {"user_id": u, "event_timestamp": midnight, "spend_28d": float(len(u)), "purchases_28d": 4}
        for u in users
    ]
    return pa.Table.from_pylist(known, schema=schema)


def request_log(store: Store, number: int, release: int = 1) -> pa.Table:
    """Answers to the sessions of a day."""
    from recsys_assets.monitoring.sessions import sessions_of

    frame = sessions_of(store, [day_of(number).isoformat()]).drop("session_id")
    rng = np.random.default_rng(number)
    scores = np.sort(rng.beta(2, 5, (len(frame), 20)))[:, ::-1].tolist()
    return frame.with_columns(
        release=pl.lit(release, pl.Int64),
        request_id=pl.format("{}-{}", pl.lit(number), pl.int_range(pl.len())),
        answered_at=pl.col("timestamp"),
        degraded=pl.lit(False),
        k=pl.lit(10, pl.Int32),
        item_ids=pl.lit(["item-1"]),
        scores=pl.Series([row[:10] for row in scores], dtype=pl.List(pl.Float32)),
        propensities=pl.Series([[1.0] * 10] * len(frame), dtype=pl.List(pl.Float32)),
        candidate_ids=pl.lit(["item-1"]),
        candidate_scores=pl.Series(scores, dtype=pl.List(pl.Float32)),
    ).to_arrow()


def outcomes(number: int, *, sessions: int = A_DAY, ordered: float = 0.5) -> pa.Table:
    """Outcomes that became known on a day, of sessions the day before; half of them ordered."""
    from recsys_assets.monitoring.outcomes import SCHEMA

    rng = np.random.default_rng(number)
    moment = datetime.combine(day_of(number - 1), time(12))
    rows = []
    for n in range(sessions):
        orders = int(rng.random() < ordered)
        rows.append(
            {
                "request_id": f"{number}-{n}",
                "release": 1,
                "user_id": f"user-{n}",
                "timestamp": moment,
                "degraded": False,
                "item_ids": ["item-1"] * 10,
                "scores": [0.1] * 10,
                "relevant": ["item-1"] * orders,
                "purchased": ["item-1"] * orders,
                "clicked": None,
                "impressions": 10,
                "orders": orders,
                "revenue": 20.0 * orders,
                "attributed_revenue": 5.0 * orders,
                "ndcg_at_10": 0.3 if orders else None,
                "recall_at_10": 0.5 if orders else None,
                "auc": float(rng.normal(0.7, 0.1)),
                "labelled_candidates": orders,
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


class OneRelease:
    """Stands for `Releases` with release 1, trained through a day, and refreshes of it.

    The last one is promoted.
    """

    url = "file:///releases"

    def __init__(self, folder: Path, trained_through: date, refreshes: tuple[int, ...] = ()):
        self._folder = folder
        self._live = max(1, *refreshes) if refreshes else 1
        self._refreshes = dict.fromkeys(refreshes, 1)
        self._through = trained_through.isoformat()
        query, item = (
            Encoding({name: Vocabulary(tuple(sorted(ids)))}, {})
            for name, ids in (("user_id", KNOWN.users), ("item_id", KNOWN.items))
        )
        ModelEncoding(query, item).save(folder / "encoding.json")

    def promoted(self) -> Promoted:
        return Promoted(self._live, (), "2025-01-01T00:00:00+00:00")

    def refreshes(self) -> dict[int, int]:
        return self._refreshes

    def manifest(self, release: int) -> dict[str, object]:
        return {"release": release, "trained_through": self._through}

    def part(self, release: int, name: str) -> Path:
        assert (release, name) == (self._live, "dlrm")
        return self._folder


def _department(item: int) -> str:
    return DEPARTMENTS[item % len(DEPARTMENTS)]


def _ages() -> list[str | None]:
    return ["young" if n % 3 else None for n in range(HOUSEHOLDS)]
