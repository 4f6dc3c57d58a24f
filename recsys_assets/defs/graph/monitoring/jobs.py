"""The jobs that collect answers before and after the daily loop does."""

import dagster as dg

from recsys_assets.defs.monitoring_resources import AnswerStream
from recsys_assets.defs.resources import StoreResource

DRAIN, LATE = "drain_answers", "late_answers"


@dg.op(
    description="Moves the answers that wait in the online store to files of the store.",
    retry_policy=dg.RetryPolicy(max_retries=2, delay=30),
)
def drain_stream(
    context: dg.OpExecutionContext, store: StoreResource, answer_stream: AnswerStream
) -> None:
    """Empties the stream; the partition of their day takes the answers when it is collected."""
    drained = answer_stream.collector(store.get()).drain()
    context.add_output_metadata(
        {
            "answers": sum(drained.answers.values()),
            "days": ", ".join(sorted(drained.answers)),
            "rejected": drained.rejected,
            "unknown_columns": sorted(drained.unknown_columns),
        }
    )


@dg.job(
    name=DRAIN,
    description="Keeps the request log from filling the online store between two daily loops.",
)
def drain_answers() -> None:
    """One step."""
    drain_stream()


late_answers = dg.define_asset_job(
    LATE,
    selection=["request_log"],
    description="Brings answers into a day that was collected before they came.",
)
