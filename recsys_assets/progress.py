"""What a person sees on the terminal while a run goes on: one line for each step and message."""

import logging
import sys
import time
from typing import ClassVar

import dagster as dg


class _ProgressFormatter(logging.Formatter):
    """`[  75 s] two_tower: epoch 2 of 3, loss 5.81`, with seconds since the run began."""

    _WORDS: ClassVar[dict[dg.DagsterEventType, str]] = {
        dg.DagsterEventType.STEP_START: "started",
        dg.DagsterEventType.STEP_SUCCESS: "done",
        dg.DagsterEventType.STEP_FAILURE: "FAILED",
        dg.DagsterEventType.STEP_SKIPPED: "skipped",
    }

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()

    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        text = meta.get("orig_message") or record.getMessage()
        if event is not None and _is_failed_check(event):
            text = _failed_check(event)
        elif event is not None:
            text = self._WORDS[event.event_type] + _error_of(event)
        step = meta.get("step_key") or "run"
        return f"[{time.monotonic() - self._started:5.0f} s] {step}: {text}"

    @classmethod
    def wants(cls, record: logging.LogRecord) -> bool:
        """Whether the record is worth a line: a step's begin or end, or somebody's message."""
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        if event is None:
            return record.levelno >= logging.INFO
        return event.event_type in cls._WORDS or _is_failed_check(event)


def _is_failed_check(event: dg.DagsterEvent) -> bool:
    return (
        event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        and not event.asset_check_evaluation_data.passed
    )


def _failed_check(event: dg.DagsterEvent) -> str:
    """What a check found, with the values that it reports."""
    found = event.asset_check_evaluation_data
    values = "; ".join(f"{name}: {value.value}" for name, value in found.metadata.items())
    return f"check {found.severity.value}: {found.description or values}"


def _error_of(event: dg.DagsterEvent) -> str:
    """The message of what made a step fail, from its root cause, or nothing."""
    if event.event_type is not dg.DagsterEventType.STEP_FAILURE:
        return ""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return f": {error.message.strip()}" if error is not None else ""


@dg.logger(
    None, description="One line for each step and message, with the seconds since the start."
)
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """A Dagster logger for the terminal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_ProgressFormatter())
    handler.addFilter(_ProgressFormatter.wants)
    log = logging.Logger("recsys", level=logging.DEBUG)
    log.addHandler(handler)
    return log
