"""What came of the answers: table `outcomes`, one row a session, once its labels are known.

An answer given at t is judged by what its user does in the attribution window [t, t + W]. So its
outcome is known W later and not before: the outcomes of day D are those of the sessions whose
window closed during D, which with W = 24 h are the sessions of the day before. Windows of one
user may overlap; a purchase then counts for each of the sessions.
"""

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from recsys_assets.events.contract import TIMESTAMP
from recsys_assets.events.purchases import paid
from recsys_assets.metrics import auc, ndcg, recall
from recsys_assets.monitoring.request_log import TABLE as REQUEST_LOG
from recsys_assets.settings.days import days_between, midnight
from recsys_assets.storage import MissingPartition, Store

if TYPE_CHECKING:
    import polars as pl

TABLE = "outcomes"
SLATE = 10  # places that quality is measured on
_STRINGS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("release", pa.int64()),
        ("user_id", pa.string()),
        ("timestamp", TIMESTAMP),
        ("degraded", pa.bool_()),
        ("item_ids", _STRINGS),
        ("scores", pa.list_(pa.float32())),
        ("relevant", _STRINGS),  # bought in the window, and never before by this user
        ("purchased", _STRINGS),  # of the slate, bought in the window
        ("clicked", _STRINGS),  # likewise; null where the source records no click at all
        ("impressions", pa.int32()),
        ("orders", pa.int32()),  # distinct purchase sessions in the window
        ("revenue", pa.float64()),  # all purchases in the window, after discounts
        ("attributed_revenue", pa.float64()),  # of items of the slate only
        ("ndcg_at_10", pa.float64()),  # this and recall: null where nothing is relevant
        ("recall_at_10", pa.float64()),
        ("auc", pa.float64()),  # of the candidates' scores; null where one kind is missing
        ("labelled_candidates", pa.int32()),  # relevant ones among the candidates
    ]
)
_ANSWER = [
    *("request_id", "release", "user_id", "device", "timestamp", "answered_at", "degraded"),
    *("item_ids", "scores", "candidate_ids", "candidate_scores"),
]
_EVENT = [
    *("user_id", "item_id", "timestamp", "event", "session_id", "device"),
    *("quantity", "price", "discount"),
]


def days_judged(day: str, attribution_hours: int) -> list[str]:
    """Days whose sessions have windows that close during `day` (all YYYY-MM-DD)."""
    opens = midnight(day) - timedelta(hours=attribution_hours)
    last = opens + timedelta(days=1) - timedelta(microseconds=1)
    return days_between(opens.date(), last.date())


def outcomes(store: Store, day: str, attribution_hours: int) -> pa.Table:
    """Outcomes of the sessions whose window closed during `day` (YYYY-MM-DD).

    Several answers to one session (same user, time and device: retries, reloads, load tests)
    count once, by the earliest. Anonymous visitors cannot be followed and are left out. Days
    before the first one of the request log had no requests.

    Args:
        store: holds `request_log` and `interactions` of the days of the window, and all earlier
            `interactions`, which tell a first purchase from a repeated one.
        day: when the windows closed.
        attribution_hours: W.

    Returns:
        Rows of `SCHEMA`, ordered by time, user and request id.

    Raises:
        MissingPartition: a day of the request log, or of interactions, is not there.
    """
    import polars as pl

    sessions = _sessions(store, day, attribution_hours)
    if sessions.is_empty():
        return SCHEMA.empty_table()
    events, records_clicks = _events(store, sessions, day)
    window = pl.duration(hours=attribution_hours)
    labels = _labels(sessions, events, window)
    judged = sessions.join(labels, on="request_id", how="left", maintain_order="left")
    judged = judged.with_columns(
        pl.col("relevant", "bought", "clicked").fill_null([]),
        pl.col("orders", "revenue", "attributed_revenue").fill_null(0),
        impressions=pl.col("item_ids").list.len(),
    )
    rows = judged.drop("bought", "clicked").to_arrow()
    shown = rows["item_ids"].to_pylist()
    clicked = pa.nulls(len(shown), _STRINGS)
    if records_clicks:
        clicked = pa.array(_of_slate(shown, judged["clicked"].to_list()), _STRINGS)
    purchased = pa.array(_of_slate(shown, judged["bought"].to_list()), _STRINGS)
    columns = {"purchased": purchased, "clicked": clicked, **_quality(rows)}
    for name, values in columns.items():
        rows = rows.append_column(name, values)
    return rows.select(SCHEMA.names).cast(SCHEMA)


def _sessions(store: Store, day: str, attribution_hours: int) -> "pl.DataFrame":
    """The earliest answer to each session of a known user whose window closed during `day`."""
    import polars as pl

    table = store.table(REQUEST_LOG)
    logged = table.days()
    if not logged:
        raise MissingPartition(REQUEST_LOG, None, table.url)
    days = [d for d in days_judged(day, attribution_hours) if d >= logged[0]]
    if not days:
        return pl.DataFrame()
    opens = midnight(day) - timedelta(hours=attribution_hours)
    answers = pl.DataFrame(table.read(days, columns=_ANSWER))
    return (
        answers.filter(
            pl.col("timestamp").is_between(opens, opens + timedelta(days=1), closed="left"),
            pl.col("user_id") != "",
        )
        .sort("answered_at", "request_id")
        .unique(["user_id", "timestamp", "device"], keep="first", maintain_order=True)
        .sort("timestamp", "user_id", "request_id")
    )


def _events(store: Store, sessions: "pl.DataFrame", day: str) -> tuple["pl.DataFrame", bool]:
    """Events of the sessions' users up to `day`, and whether anybody's clicks are recorded.

    `first` tells when the user bought the item for the first time.
    """
    import polars as pl

    table = store.table("interactions")
    first: date = sessions.select(pl.col("timestamp").dt.date().min()).item()
    needed = days_between(first, date.fromisoformat(day))
    days = sorted({*needed, *(known for known in table.days() if known <= day)})
    history = pl.DataFrame(table.read(days, columns=["user_id", "item_id", "timestamp", "event"]))
    bought = (
        history.filter(pl.col("event") == "purchase")
        .join(sessions.select("user_id").unique(), on="user_id", how="semi")
        .group_by("user_id", "item_id")
        .agg(first=pl.col("timestamp").min())
    )
    recent = pl.DataFrame(table.read(needed, columns=_EVENT)).join(
        bought, on=["user_id", "item_id"], how="left"
    )
    return recent, bool((history["event"] == "click").any())


def _labels(sessions: "pl.DataFrame", events: "pl.DataFrame", window: "pl.Expr") -> "pl.DataFrame":
    """What happened in each session's window; a session without any event has no row."""
    import polars as pl

    opened, purchase = pl.col("opened"), pl.col("event") == "purchase"
    order = pl.coalesce(
        pl.col("session_id").cast(pl.String),
        pl.format(
            "{}@{}", pl.col("device").cast(pl.String).fill_null(""), pl.col("timestamp").dt.date()
        ),
    )
    item, shown = pl.col("item_id"), pl.col("item_id").is_in(pl.col("item_ids"))
    return (
        sessions.select("request_id", "user_id", "item_ids", opened="timestamp")
        .join(events, on="user_id")
        .filter(pl.col("timestamp").is_between(opened, opened + window))
        .group_by("request_id")
        .agg(
            relevant=item.filter(purchase & (pl.col("first") >= opened)).unique().sort(),
            bought=item.filter(purchase).unique(),
            clicked=item.filter(pl.col("event") == "click").unique(),
            orders=order.filter(purchase).n_unique(),
            revenue=paid().filter(purchase).sum(),
            attributed_revenue=paid().filter(purchase & shown).sum(),
        )
    )


def _of_slate(slates: list[list[str]], items: list[list[str]]) -> list[list[str]]:
    """The items of each slate that are among those of the second list, as shown."""
    return [
        [item for item in slate if item in wanted]
        for slate, wanted in zip(slates, map(set, items), strict=True)
    ]


def _quality(rows: pa.Table) -> dict[str, pa.Array]:
    """Metrics of each session against what was relevant to it."""
    relevant = [set(items) for items in rows["relevant"].to_pylist()]
    counts = np.array([len(items) for items in relevant])
    hit = np.zeros((len(relevant), SLATE), dtype=bool)
    for found, slate, items in zip(hit, rows["item_ids"].to_pylist(), relevant, strict=True):
        found[: len(slate)] = [item in items for item in slate[:SLATE]]
    some = counts > 0
    values = {
        "ndcg_at_10": np.full(len(counts), np.nan),
        "recall_at_10": np.full(len(counts), np.nan),
        "auc": np.full(len(counts), np.nan),
    }
    values["ndcg_at_10"][some] = ndcg(hit[some], counts[some], SLATE)
    values["recall_at_10"][some] = recall(hit[some], counts[some], SLATE)
    labelled = np.zeros(len(counts), dtype=np.int32)
    candidates = zip(
        rows["candidate_ids"].to_pylist(), rows["candidate_scores"].to_pylist(), strict=True
    )
    for n, (ids, scores) in enumerate(candidates):
        label = np.array([item in relevant[n] for item in ids], dtype=bool)
        labelled[n] = label.sum()
        values["auc"][n] = auc(label, np.array(scores, dtype=np.float32))
    columns = {name: pa.array(column, from_pandas=True) for name, column in values.items()}
    return {**columns, "labelled_candidates": pa.array(labelled)}
