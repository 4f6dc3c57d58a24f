"""The protocol of the offline evaluation: who asks, what was known, what would have been right.

History is every purchase before the first evaluated day. Each household with a first-time purchase
in the evaluated days makes one request, at the time and on the device of its first event in them.
Relevant is what it bought there for the first time. Every method ranks every row of the catalogue,
except what the household had bought before; nothing is sampled.

Which days are evaluated, those from today on or the last that are over, is in `settings/days.py`.

User features are as known when a day begins: the last snapshot before it, which is what serving
reads from the online store at such a moment; a check of the features stage proves the two equal,
value by value. Items have theirs in `models/item_history.py`.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
from scipy import sparse

from recsys_assets.settings.days import Days, days_between, midnight
from recsys_assets.storage import Store

COLUMNS = ["user_id", "item_id", "timestamp", "event", "device"]
RECENT_DAYS = 28
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class HouseholdRequests:
    """One request per household, sorted by `user_id`.

    `user_id` and `device` are object [n] ("" = unknown device), `timestamp` int64 [n] in epoch
    seconds; `seen` and `relevant` are 0/1 CSR [n, items]: bought before, and first bought in the
    evaluated days.
    """

    user_id: np.ndarray
    timestamp: np.ndarray
    device: np.ndarray
    seen: sparse.csr_matrix
    relevant: sparse.csr_matrix

    def __len__(self) -> int:
        return len(self.user_id)


@dataclass(frozen=True)
class Split:
    """History to learn from and requests to answer, over the same catalogue.

    `item_ids` is object [items], the catalogue in its own order; `history` 0/1 CSR
    [history users, items] of distinct pairs; `purchases` and `purchases_recent` int64 [items],
    purchase events of history and of its last 28 days; `requests` as above, with `history_row`
    int64 [n], the request's row in `history` or -1 for an unseen household.
    `outside_catalogue` counts relevant pairs dropped because the catalogue lacks the item. With
    `repeats`, relevant is whatever is bought, and nothing is left out of an answer.
    """

    item_ids: np.ndarray
    history: sparse.csr_matrix
    purchases: np.ndarray
    purchases_recent: np.ndarray
    requests: HouseholdRequests
    history_row: np.ndarray
    outside_catalogue: int
    repeats: bool = False

    @property
    def excluded(self) -> sparse.csr_matrix:
        """What no answer may hold, 0/1 CSR [requests, items]: what was bought, unless `repeats`."""
        seen = self.requests.seen
        return sparse.csr_matrix(seen.shape, dtype=seen.dtype) if self.repeats else seen

    def sample(self, count: int, seed: int = 0) -> "Split":
        """The same with at most `count` of its requests, drawn at random."""
        asked = self.requests
        if len(asked) <= count:
            return self
        rows = np.sort(np.random.default_rng(seed).permutation(len(asked))[:count])
        requests = HouseholdRequests(
            asked.user_id[rows],
            asked.timestamp[rows],
            asked.device[rows],
            asked.seen[rows],
            asked.relevant[rows],
        )
        return replace(self, requests=requests, history_row=self.history_row[rows])


class NothingToEvaluate(ValueError):
    """History, or the evaluated days, hold no purchase that could be learned or measured."""


def split_by_time(
    interactions: pa.Table,
    item_ids: list[str],
    evaluation_from: date,
    evaluation_days: int,
    *,
    repeats: bool = False,
) -> Split:
    """Splits events before `evaluation_from` from those of the `evaluation_days` from it on.

    Args:
        interactions: events with `COLUMNS`; later ones than the evaluated days are ignored.
        item_ids: the catalogue.
        evaluation_from: first day (UTC) that history does not hold.
        evaluation_days: number of days measured.
        repeats: whether what a household has bought before is relevant too.

    Raises:
        NothingToEvaluate: nothing was bought before `evaluation_from`, or no household bought
            anything (for the first time, unless `repeats`) in the evaluated days.
    """
    start = midnight(evaluation_from)
    end = start + timedelta(days=evaluation_days)
    events = pl.DataFrame(interactions.select(COLUMNS))
    catalogue = pl.DataFrame({"item_id": item_ids}).with_row_index("item")
    events = events.join(catalogue, on="item_id", how="left")
    bought = events.filter(pl.col("event") == "purchase")
    before = bought.filter(pl.col("timestamp") < start, pl.col("item").is_not_null())
    week = events.filter(pl.col("timestamp").is_between(start, end, closed="left"))
    if before.is_empty():
        raise NothingToEvaluate(
            f"interactions hold no purchase before {evaluation_from}: nothing to learn from; give "
            "an earlier RECSYS_FIRST_DAY, a later RECSYS_TODAY, or deliver the days before"
        )
    users = before.select("user_id").unique().sort("user_id").with_row_index("history_row")
    pairs = before.select("user_id", "item").unique().join(users, on="user_id")
    wanted = week.filter(pl.col("event") == "purchase").select("user_id", "item_id", "item")
    wanted = wanted.unique()
    if not repeats:
        before_that = pairs.select("user_id", "item")
        wanted = wanted.join(before_that, on=["user_id", "item"], how="anti")
    outside = wanted["item"].null_count()  # of products, where the catalogue lacks them
    wanted = wanted.drop_nulls("item")
    if wanted.is_empty():
        raise NothingToEvaluate(
            f"no household bought anything for the first time in the {evaluation_days} days from "
            f"{evaluation_from} on: nothing to measure; raise RECSYS_EVALUATION_DAYS, set "
            "RECSYS_TODAY to a day with sales around it, or deliver these days"
        )
    items = len(item_ids)
    history = _incidence(pairs["history_row"], pairs["item"], len(users), items)
    asking = wanted.select("user_id").unique()
    opening = (
        week.join(asking, on="user_id")
        .sort("user_id", "timestamp", maintain_order=True)
        .group_by("user_id", maintain_order=True)
        .first()
        .join(users, on="user_id", how="left")
        .sort("user_id")
        .with_row_index("request")
    )
    wanted = wanted.join(opening.select("user_id", "request"), on="user_id")
    history_row = opening["history_row"].cast(pl.Int64).fill_null(-1).to_numpy()
    requests = HouseholdRequests(
        user_id=opening["user_id"].to_numpy().astype(object),
        timestamp=opening["timestamp"].dt.epoch("s").to_numpy(),
        device=opening["device"].fill_null("").to_numpy().astype(object),
        seen=_rows(history, history_row),
        relevant=_incidence(wanted["request"], wanted["item"], len(opening), items),
    )
    recent = before.filter(pl.col("timestamp") >= start - timedelta(days=RECENT_DAYS))
    return Split(
        item_ids=np.array(item_ids, dtype=object),
        history=history,
        purchases=np.bincount(before["item"].to_numpy(), minlength=items),
        purchases_recent=np.bincount(recent["item"].to_numpy(), minlength=items),
        requests=requests,
        history_row=history_row,
        outside_catalogue=outside,
        repeats=repeats,
    )


def load_split(store: Store, days: Days) -> Split:
    """The split of what the store holds: `interactions` from the first day on, and `items`.

    Raises:
        MissingPartition: a day of history or of the evaluated days has not been materialized.
        NothingToEvaluate: as `split_by_time`.
    """
    read = days_between(days.first_day, days.evaluation_through)
    item_ids = store.table("items").read(columns=["item_id"])["item_id"].to_pylist()
    interactions = store.table("interactions").read(read, columns=COLUMNS)
    return split_by_time(interactions, item_ids, days.evaluation_from, days.evaluation_days)


def _incidence(rows: pl.Series, columns: pl.Series, n: int, m: int) -> sparse.csr_matrix:
    ones = np.ones(len(rows), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, (rows.to_numpy(), columns.to_numpy())), shape=(n, m))
    matrix.sort_indices()
    return matrix


def _rows(matrix: sparse.csr_matrix, rows: np.ndarray) -> sparse.csr_matrix:
    """The given rows, all zero where the row is -1."""
    known = (rows >= 0).astype(np.float32)
    return sparse.csr_matrix(sparse.diags(known) @ matrix[np.maximum(rows, 0)])


def user_columns(store: Store, user_ids: np.ndarray, first_day: date, before: date) -> Columns:
    """Columns of `user_attributes` and `user_features` that were known when `before` began.

    Args:
        store: holds both tables.
        user_ids: object [n].
        first_day: first day of history.
        before: first day after it.

    Returns:
        `user_id` and the rest in the order of `user_ids`: strings as object [n] with "" for
        missing, numbers as float64 [n] with NaN for missing; all missing for an unknown user.

    Raises:
        MissingPartition: a day of history is missing.
    """
    attributes = pl.DataFrame(store.table("user_attributes").read()).drop("event_timestamp")
    wanted = pl.DataFrame({"user_id": pl.Series(user_ids.tolist(), dtype=pl.String)})
    rows = wanted.join(attributes, on="user_id", how="left", maintain_order="left")
    features = _latest_rows(store, first_day, before)
    rows = rows.join(features, on="user_id", how="left", maintain_order="left")
    return {column.name: _as_numpy(column) for column in rows}


def _latest_rows(store: Store, first_day: date, before: date) -> pl.DataFrame:
    days = pl.date_range(first_day, before, closed="left", eager=True).dt.strftime("%Y-%m-%d")
    rows = pl.DataFrame(store.table("user_features").read(days.to_list()))
    moment = midnight(before)
    known = rows.filter(pl.col("event_timestamp") <= moment).sort("event_timestamp")
    return known.unique("user_id", keep="last").drop("event_timestamp")


def _as_numpy(column: pl.Series) -> np.ndarray:
    if column.dtype == pl.String:
        return column.fill_null("").to_numpy().astype(object)
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
