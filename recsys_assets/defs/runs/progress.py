"""What a person sees on the terminal while a run goes on: a line for each step and message."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg

from recsys_assets.terminal.plan import Position
from recsys_assets.terminal.screen import Screen

_Type = dg.DagsterEventType
# Dagster's own words about what it does with a step that cannot run, and about Pipes.
_NOT_EXECUTED = "Dependencies for step "
_PIPES = "[pipes] "
_AROUND = dg.DagsterExecutionStepExecutionError.__name__
_INTERRUPTS = (dg.DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__)


def event_of(record: logging.LogRecord) -> dg.DagsterEvent | None:
    """The event that a record of Dagster's log reports, if it reports one."""
    return getattr(record, "dagster_meta", {}).get("dagster_event")


def step_of(record: logging.LogRecord) -> str:
    """The step that a record is of, `run` if it is of none."""
    return getattr(record, "dagster_meta", {}).get("step_key") or "run"


def line_of(record: logging.LogRecord) -> str | None:
    """What a record says of its step, None if it is not worth a line."""
    event = event_of(record)
    if event is None:
        text = getattr(record, "dagster_meta", {}).get("orig_message") or record.getMessage()
        dull = record.levelno < logging.INFO or text.startswith((_NOT_EXECUTED, _PIPES))
        return None if dull else text
    if event.event_type is _Type.STEP_START:
        return "started"
    if event.event_type is _Type.STEP_SUCCESS:
        return f"done in {event.step_success_data.duration_ms / 1000:.1f} s"
    if event.event_type is _Type.STEP_FAILURE:
        return f"FAILED: {cause_of(event)}"
    if event.event_type is _Type.ASSET_CHECK_EVALUATION:
        return _failed_check(event)
    return None


def cause_of(event: dg.DagsterEvent) -> str:
    """What made a step fail: its error, and the errors behind that, without Dagster's around it."""
    messages = []
    error = event.step_failure_data.error
    while error is not None:
        if error.cause is None or error.cls_name != _AROUND:
            messages.append(error.message.strip())
        error = error.cause
    return ", because of ".join(messages) or "no cause is known"


def _is_interrupted(event: dg.DagsterEvent) -> bool:
    """Whether a step has failed because the command was interrupted."""
    failed = event.event_type is _Type.STEP_FAILURE
    error = event.step_failure_data.error if failed else None
    return error is not None and error.cls_name in _INTERRUPTS


def _failed_check(event: dg.DagsterEvent) -> str | None:
    """What a check found, with the values that it reports; None if it has passed."""
    found = event.asset_check_evaluation_data
    if found.passed:
        return None
    values = "; ".join(f"{name}: {value.value}" for name, value in found.metadata.items())
    return f"check {found.severity.value}: {found.description or values}"


@dataclass
class Failures:
    """What a run failed of: causes by step, and the steps that were not run because of it."""

    causes: dict[str, str] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)


class Narrator(logging.Handler):
    """Shows a run's records on a screen, keeps its position, and collects its failures.

    Checks are quick and many: one is shown if it has something to say.
    """

    def __init__(self, screen: Screen, position: Position, checks: frozenset[str]) -> None:
        super().__init__()
        self.failures = Failures()
        self._screen, self._position, self._checks = screen, position, checks
        self._reasons: dict[str, str] = {}

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Has every line on the screen begin with the position, until the run is over."""
        self._screen.follow(self._position)
        try:
            yield
        finally:
            self._screen.follow(None)

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one record."""
        event, step = event_of(record), step_of(record)
        kind = event.event_type if event else None
        if kind is _Type.STEP_START:
            self._position.started(step)
            self._screen.doing(step)
        if event is not None and _is_interrupted(event):
            return
        line = line_of(record)
        if line and not (step in self._checks and kind in (_Type.STEP_START, _Type.STEP_SUCCESS)):
            self._screen.say(f"{step}: {line}")
        if kind is _Type.STEP_SUCCESS:
            self._position.ended(step)
        self._collect(record, event, step)

    def _collect(self, record: logging.LogRecord, event: dg.DagsterEvent | None, step: str) -> None:
        if event is None:
            if record.getMessage().find(_NOT_EXECUTED) >= 0 and step not in self._checks:
                self.failures.not_run.append(step)
        elif event.event_type is _Type.ENGINE_EVENT and event.engine_event_data.error:
            # The process that Pipes started says itself what went wrong; its step only that it did.
            self._reasons[step] = event.engine_event_data.error.message.strip()
        elif event.event_type is _Type.ASSET_CHECK_EVALUATION:
            found = _failed_check(event)
            if found and event.asset_check_evaluation_data.blocking:
                self._reasons[step] = found
        elif event.event_type is _Type.STEP_FAILURE:
            self.failures.causes[step] = self._reasons.get(step) or cause_of(event)


class _ElapsedFormatter(logging.Formatter):
    """`[  75 s] two_tower: epoch 2 of 3, loss 5.81`, with seconds since the run began."""

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()

    def format(self, record: logging.LogRecord) -> str:
        elapsed = time.monotonic() - self._started
        return f"[{elapsed:5.0f} s] {step_of(record)}: {line_of(record)}"


@dg.logger(
    None, description="One line for each step and message, with the seconds since the start."
)
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """A Dagster logger for the terminal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_ElapsedFormatter())
    handler.addFilter(lambda record: line_of(record) is not None)
    return _logging_to(handler)


def narrated(narrator: Narrator) -> dg.LoggerDefinition:
    """A Dagster logger that tells a narrator everything."""

    @dg.logger(None, description="Shows a command's run on its screen.")
    def logger(_: dg.InitLoggerContext) -> logging.Logger:
        return _logging_to(narrator)

    return logger


def _logging_to(handler: logging.Handler) -> logging.Logger:
    log = logging.Logger("recsys", level=logging.DEBUG)
    log.addHandler(handler)
    return log
