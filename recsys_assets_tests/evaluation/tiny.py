"""A split and a store small enough to reason about."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
from scipy import sparse

from recsys_assets.evaluation.split import HouseholdRequests, Split
from recsys_assets.storage import Store

TODAY = date(2025, 3, 2)


def moment(day: int, hour: int = 12) -> datetime:
    """`day` days after today (before, if negative), UTC."""
    start = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
    return start + timedelta(days=day, hours=hour)


def events(*rows: tuple) -> pa.Table:
    """Rows of user, item, moment, and where they differ event and device."""
    full = [(*row, "purchase", None)[:5] if len(row) < 5 else row for row in rows]
    columns = list(zip(*full, strict=True)) if full else [[]] * 5
    return pa.table(
        {
            "user_id": pa.array(columns[0], pa.string()),
            "item_id": pa.array(columns[1], pa.string()),
            "timestamp": pa.array(columns[2], pa.timestamp("us", tz="UTC")),
            "event": pa.array(columns[3], pa.string()),
            "device": pa.array(columns[4], pa.string()),
        }
    )


def matrix(rows: list[list[int]]) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.array(rows, dtype=np.float32))


def random_split(seed: int, users: int = 30, items: int = 20, unseen: int = 2) -> Split:
    """Random purchases; the last `unseen` requests come from households without history."""
    rng = np.random.default_rng(seed)
    bought = rng.random((users, items)) < rng.uniform(0.05, 0.6, size=items)
    bought[:, 0] = True
    history_row = np.concatenate([rng.permutation(users)[: users // 2], -np.ones(unseen, int)])
    seen = np.where(history_row[:, None] >= 0, bought[history_row], False)
    relevant = (rng.random(seen.shape) < 0.3) & ~seen
    relevant[np.arange(len(seen)), np.argmin(seen, axis=1)] = True
    requests = HouseholdRequests(
        user_id=np.array([f"u{n:03}" for n in range(len(seen))], dtype=object),
        timestamp=np.full(len(seen), int(moment(0).timestamp())),
        device=np.full(len(seen), "", dtype=object),
        seen=matrix(seen),
        relevant=matrix(relevant),
    )
    purchases = bought.sum(axis=0)
    return Split(
        item_ids=np.array([f"i{n}" for n in range(items)], dtype=object),
        history=matrix(bought),
        purchases=purchases,
        purchases_recent=rng.permutation(purchases),
        requests=requests,
        history_row=history_row,
        outside_catalogue=0,
    )


def write_days(store: Store, table: pa.Table, first: int, last: int) -> None:
    """Splits events into daily partitions from day `first` to `last` relative to today."""
    times = table["timestamp"].to_pylist()
    for number in range(first, last + 1):
        day = TODAY + timedelta(days=number)
        mask = pa.array([time.date() == day for time in times], pa.bool_())
        store.table("interactions").write(table.filter(mask), day.isoformat())
