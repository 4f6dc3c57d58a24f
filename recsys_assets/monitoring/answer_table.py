"""Logged answers as rows: item ids instead of rows of an index, columns instead of JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import pyarrow as pa

from recsys_assets.events.contract import TIMESTAMP
from recsys_assets.pipeline.request_log import Answer, UnreadableEntry

_MICROSECONDS = 1_000_000

COLUMNS = pa.schema(
    [
        ("request_id", pa.string()),
        ("release", pa.int64()),
        ("user_id", pa.string()),
        ("device", pa.string()),
        ("timestamp", TIMESTAMP),  # of the request
        ("answered_at", TIMESTAMP),  # wall clock of the server
        ("degraded", pa.bool_()),
        ("k", pa.int32()),
        ("item_ids", pa.list_(pa.string())),  # as shown, first place first
        ("scores", pa.list_(pa.float32())),
        ("propensities", pa.list_(pa.float32())),  # of each place, given those before; null unknown
        ("candidate_ids", pa.list_(pa.string())),  # all that were ranked, best first
        ("candidate_scores", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class LoggedAnswer:
    """An answer whose context has been read; `features` hold "" and NaN where missing."""

    answer: Answer
    user_id: str
    device: str
    features: dict[str, str | float]

    @property
    def request(self) -> tuple[str, int, str]:
        """What was asked: user, epoch seconds, device."""
        return self.user_id, self.answer.timestamp, self.device


def read_context(answer: Answer) -> LoggedAnswer:
    """Reads the context of an answer.

    Raises:
        UnreadableEntry: it is no JSON object of texts and numbers, or has no user or device.
    """
    try:
        context = json.loads(answer.context)
    except ValueError:
        raise UnreadableEntry(f"context is {answer.context[:40]!r}, not JSON") from None
    if not isinstance(context, dict):
        raise UnreadableEntry(f"context is {answer.context[:40]!r}, not a JSON object")
    for name, value in context.items():
        if not isinstance(value, str | int | float):
            raise UnreadableEntry(f"context column {name!r} is {value!r}, not text or number")
    for name in ("user_id", "device"):
        if not isinstance(context.get(name), str):
            raise UnreadableEntry(f"context has no {name}")
    return LoggedAnswer(answer, context.pop("user_id"), context.pop("device"), context)


def answer_table(logged: Sequence[LoggedAnswer], ids: pa.Array, columns: pa.Schema) -> pa.Table:
    """Rows of `request_log`.

    Args:
        logged: answers of one release.
        ids: string [items], item ids by row of its index.
        columns: `COLUMNS`, then user features as string or double; one that an answer lacks, or
            that was missing, is null.
    """
    answers = [one.answer for one in logged]
    ranked = [np.argsort(-answer.scores, kind="stable") for answer in answers]
    shown = [answer.shown for answer in answers]
    values = {
        "request_id": [answer.request_id for answer in answers],
        "release": [answer.release for answer in answers],
        "user_id": [one.user_id for one in logged],
        "device": [one.device for one in logged],
        "timestamp": [answer.timestamp * _MICROSECONDS for answer in answers],
        "answered_at": [answer.answered_at for answer in answers],
        "degraded": [answer.degraded for answer in answers],
        "k": [answer.k for answer in answers],
        "item_ids": _ids_at(answers, shown, ids),
        "scores": _scores_at(answers, shown),
        "propensities": _lists(shown, [answer.propensities for answer in answers]),
        "candidate_ids": _ids_at(answers, ranked, ids),
        "candidate_scores": _scores_at(answers, ranked),
    }
    for field in columns:
        if field.name not in values:
            missing: str | float = "" if pa.types.is_string(field.type) else np.nan
            of_column = [one.features.get(field.name, missing) for one in logged]
            values[field.name] = [None if _is_missing(value) else value for value in of_column]
    return pa.table([pa.array(values[field.name], field.type) for field in columns], schema=columns)


def _is_missing(value: str | float) -> bool:
    return value == "" or value != value  # NaN is not equal to itself


def _ids_at(answers: Sequence[Answer], positions: list[np.ndarray], ids: pa.Array) -> pa.Array:
    rows = [answer.rows[at] for answer, at in zip(answers, positions, strict=True)]
    flat = np.concatenate([np.empty(0, dtype=np.int32), *rows])
    return pa.ListArray.from_arrays(_offsets(positions), ids.take(pa.array(flat)))


def _scores_at(answers: Sequence[Answer], positions: list[np.ndarray]) -> pa.Array:
    scores = [answer.scores[at] for answer, at in zip(answers, positions, strict=True)]
    return _lists(positions, scores)


def _lists(positions: list[np.ndarray], values: list[np.ndarray]) -> pa.Array:
    """Lists of float32, as long as the positions; NaN becomes null."""
    flat = np.concatenate([np.empty(0, dtype=np.float32), *values])
    numbers = pa.array(flat, pa.float32(), from_pandas=True)
    return pa.ListArray.from_arrays(_offsets(positions), numbers)


def _offsets(positions: list[np.ndarray]) -> pa.Array:
    return pa.array([0, *accumulate(len(at) for at in positions)], pa.int32())
