"""Metrics that the served model adds to Triton's own: one table for code, rules and dashboard.

All bear the label `release`. What counts something ends in `_total`, as Prometheus asks for;
`_bucket` counts batches that took at most `le` seconds, so that `histogram_quantile` can be used.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ServedMetric:
    """One family: its labels beside `release`, and what it says."""

    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    description: str


STAGE_SECONDS = "recsys_stage_seconds_total"
STAGE_ROWS = "recsys_stage_rows_total"
STAGE_BUCKET = "recsys_stage_seconds_bucket"
BATCH_ROWS = "recsys_batch_rows_total"
DEGRADED = "recsys_degraded_rows_total"
SHED = "recsys_shed_rows_total"
EXPIRED = "recsys_expired_rows_total"
SEEN_CHECKED = "recsys_seen_checked_total"
SEEN_EXCLUDED = "recsys_seen_excluded_total"
REFUSED = "recsys_refused_rows_total"
UNLOGGED = "recsys_unlogged_answers_total"
RELEASE_INFO = "recsys_release_info"
OFF_SALE = "recsys_items_off_sale"
ITEMS_POSITION = "recsys_items_position_seconds"
ITEMS_AGE = "recsys_items_age_seconds"

STAGES = ("query", "retrieve", "rank", "respond")
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
BATCH_SIZES = (1, 2, 4, 8, 16, 32)

SERVED = {
    STAGE_SECONDS: ServedMetric("counter", ("stage",), "Seconds that batches spent in a stage"),
    STAGE_ROWS: ServedMetric("counter", ("stage",), "Rows that went through a stage"),
    STAGE_BUCKET: ServedMetric(
        "counter", ("stage", "le"), "Batches that spent at most `le` seconds in a stage"
    ),
    BATCH_ROWS: ServedMetric(
        "counter", ("size",), "Batches of at most so many rows, and more than the size before"
    ),
    DEGRADED: ServedMetric(
        "counter", (), "Rows answered without the online store, for an outage of it"
    ),
    SHED: ServedMetric("counter", ("level",), "Rows that got less, as there was too much to do"),
    EXPIRED: ServedMetric("counter", (), "Rows whose deadline passed before they were ranked"),
    SEEN_CHECKED: ServedMetric("counter", (), "Candidates held against filters of seen items"),
    SEEN_EXCLUDED: ServedMetric("counter", (), "Candidates that those filters held"),
    REFUSED: ServedMetric(
        "counter", (), "Rows refused for an outage of the filters of seen items, where so set"
    ),
    UNLOGGED: ServedMetric(
        "counter", (), "Answers dropped from the request log, as the store was away or full of them"
    ),
    RELEASE_INFO: ServedMetric("gauge", (), "1 for every process of a loaded release"),
    OFF_SALE: ServedMetric("gauge", ("process",), "Items of the release that no slate shows now"),
    ITEMS_POSITION: ServedMetric(
        "gauge", ("process",), "When the last change of items that is known was written"
    ),
    ITEMS_AGE: ServedMetric(
        "gauge", ("process",), "Since the store has last said what changes of items there are"
    ),
}
