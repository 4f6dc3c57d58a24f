"""What a replay remembers of each day, so that it goes on where it stopped and can be summed up.

`replay_slates`: a row a session and method (`live` as served, `frozen` as the first release would
have answered). `replay_days`: one row, the day's counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from recsys_assets.storage import Store
from replay.load import Answer
from replay.traffic import DayTraffic

METHODS = ("live", "frozen")
_SLATES = "replay_slates"
_DAYS = "replay_days"
_SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("user_id", pa.string()),
        ("timestamp", pa.int64()),
        ("release", pa.int64()),
        ("item_ids", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class DayRecord:
    """Counts of a day: all requests from its first session to the end of its work.

    Latency is that of the answers, from when a request was due. What a replay that was killed had
    sent of the day is not counted.
    """

    day: str
    live_release: int
    sessions: int
    requests: int
    failed: int
    degraded: int
    wrong_release: int
    p50_ms: float
    p99_ms: float
    seconds: float


def write_slates(
    store: Store,
    traffic: DayTraffic,
    answers: Mapping[int, Answer],
    frozen: Sequence[np.ndarray],
    first_release: int,
) -> None:
    """Keeps what was shown in each session, and what the first release would have shown."""
    sessions = traffic.sessions
    rows = [
        {
            "method": method,
            "user_id": sessions.user_id[row],
            "timestamp": int(sessions.timestamp[row]),
            "release": release,
            "item_ids": list(items),
        }
        for row in range(len(sessions))
        for method, release, items in (
            ("live", answers[row].release, answers[row].item_ids),
            ("frozen", first_release, frozen[row]),
        )
    ]
    store.table(_SLATES).write(pa.Table.from_pylist(rows, schema=_SCHEMA), traffic.day)


def read_slates(store: Store, day: str) -> dict[str, dict[tuple[str, int], np.ndarray]]:
    """Slates by method, then by user and time of the session."""
    found: dict[str, dict[tuple[str, int], np.ndarray]] = {method: {} for method in METHODS}
    for row in store.table(_SLATES).read([day]).to_pylist():
        key = (row["user_id"], row["timestamp"])
        found[row["method"]][key] = np.array(row["item_ids"], dtype=object)
    return found


def write_day(store: Store, record: DayRecord) -> None:
    """Marks a day as done."""
    store.table(_DAYS).write(pa.Table.from_pylist([asdict(record)]), record.day)


def read_days(store: Store) -> list[DayRecord]:
    """The days that are done, in order."""
    table = store.table(_DAYS)
    days = table.days()
    return [DayRecord(**row) for row in table.read(days).to_pylist()] if days else []
