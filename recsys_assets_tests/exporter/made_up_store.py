"""A small store with a release, reports and events, as the graph writes them."""

import json
from pathlib import Path

import pyarrow as pa

from recsys_assets.monitoring.answer_parts import AnswerParts, group_of
from recsys_assets.releases.release import MANIFEST, Reason, Releases
from recsys_assets.retraining.alerts import Alert, AlertHook
from recsys_assets.storage import Store

MEASUREMENT = {"group": "features", "low": 0.1, "threshold": 0.05, "samples": 900}


def publish(store: Store, trained_through: str) -> int:
    """A release that was promoted."""
    releases = Releases(store)
    with releases.new() as draft:
        manifest = {
            "release": int(draft.version),
            "trained_through": trained_through,
            "item_features_day": "2025-03-09",
        }
        (draft.path / MANIFEST).write_text(json.dumps(manifest))
    return releases.record(int(draft.version), (), Reason("a test", "pytest")).release


def report_drift(store: Store, day: str, state: str, **psi: float) -> None:
    """A drift report with such values, and a signal of another kind."""
    measured = [
        *({**MEASUREMENT, "name": n, "statistic": "psi", "value": psi[n]} for n in psi),
        {**MEASUREMENT, "name": "auc", "statistic": "drop", "value": 0.02},
    ]
    rows = pa.Table.from_pylist([{"day": day, "state": state, "measurements": measured}])
    store.table("drift_report").write(rows, day)


def report_business(store: Store, day: str, state: str) -> None:
    """Figures of a day."""
    rows = pa.Table.from_pylist([{"day": day, "state": state}])
    store.table("business_metrics").write(rows, day)


def small_store(folder: Path) -> Store:
    """What the test in `test_reading.py` and the others expect."""
    store = Store(folder.as_uri())
    publish(store, "2025-03-07")
    report_drift(store, "2025-03-07", "ok", price_ratio=0.01)
    report_drift(store, "2025-03-08", "drifted", price_ratio=0.31, device=0.02)
    report_business(store, "2025-03-08", "fallen")
    for day in ("2025-03-08", "2025-03-09"):
        store.table("interactions").write(pa.table({"user_id": ["ann"]}), day)
    answers = pa.table({"entry_id": ["1-0", "1-1"], "request_id": ["r1", "r2"]})
    AnswerParts(store).write(group_of("2025-03-09"), answers)
    run = Alert("run_failed", "fine_tune failed", "why", "fine_tune", "abc", "2025-03-08", "")
    AlertHook(store, None).send(run)
    return store
