"""Answers as the ranking model hands them to the log."""

import json
from datetime import UTC, datetime

import numpy as np

from recsys_assets.pipeline.request_log import Answer

ASKED = int(datetime(2025, 3, 1, 10, tzinfo=UTC).timestamp())


def an_answer(request_id: str = "r1", **changed) -> Answer:
    """An answer; a context may be given as the object or as the bytes that stand for it."""
    values = {
        "request_id": request_id,
        "release": 1,
        "timestamp": ASKED,
        "answered_at": ASKED * 1_000_000 + 250_000,
        "degraded": False,
        "k": 2,
        "context": {"user_id": "ann", "device": "web"},
        "rows": np.array([7, 3, 9]),
        "scores": np.array([0.5, 2.5, 1.5], dtype=np.float32),
        "shown": np.array([1, 0]),
    } | changed
    values.setdefault("propensities", np.ones(len(values["shown"]), dtype=np.float32))
    if not isinstance(values["context"], bytes):
        values["context"] = json.dumps(values["context"]).encode()
    return Answer(**values)
