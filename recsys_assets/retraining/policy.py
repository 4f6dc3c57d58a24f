"""When to fine-tune, to retrain from scratch, or to go back: rules over reports, no side effects.

Days are the days of the data, never of the clock on the wall, so a clock that goes backwards and
reports that finish out of order change nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from recsys_assets.retraining.evidence import Evidence, JudgedCandidate, Report, Training

FINE_TUNE = "fine_tune"
FULL_RETRAIN = "full_retrain"


@dataclass(frozen=True)
class TriggerPolicy:
    """How much evidence it takes to act, and how long to wait after acting.

    A fine-tune starts when `drifted_days` of `window_days` consecutive days alarm, but not
    within `cooldown_days` of another one. Everything is trained anew `retrain_every_days` after
    the last time, and after `rejections_before_retrain` rejected fine-tunes in a row.
    """

    drifted_days: int
    window_days: int
    cooldown_days: int
    retrain_every_days: int
    rejections_before_retrain: int


@dataclass(frozen=True)
class Decision:
    """What to do: act on `report` for `cause`, or nothing if it is None; `why`, for a person.

    `event` is the storage id of the newest report that counted.
    """

    why: str
    report: Report | None = None
    cause: str = ""
    event: int = 0


def fine_tune(
    policy: TriggerPolicy, evidence: Evidence, trainings: Sequence[Training], sensor: str
) -> Decision:
    """Whether to fine-tune, on the newest day for which the evidence is enough.

    A day counts by its newest report, and only if that is about the live release: how far the
    world is from what another one was trained on says nothing about this one. Reports that a
    training was started for are not acted on again; a day that was measured anew since is, and
    the cool-down that the day itself began does not hold it up.

    Args:
        policy: the rules.
        evidence: the reports that the sensor has seen.
        trainings: recent trainings, whoever started them.
        sensor: the sensor that asks, as its trainings name it.
    """
    if evidence.newest is None:
        return Decision("No report yet.")
    acted_on = max((t.report or 0 for t in trainings if t.requested_by == sensor), default=0)
    windows = [_window(policy, evidence, report) for report in reversed(evidence.reports)]
    crossing = [
        window for window in windows if _enough(policy, window) and _event(window) > acted_on
    ]
    if not crossing:
        return Decision(_not_enough(policy, evidence.newest, windows[0]))
    if _ongoing(trainings):
        return Decision(f"{crossing[0][-1].day} alarms; waiting for the training in progress.")
    for window in crossing:
        blocker = _cooling_down(policy, window, trainings, sensor)
        if blocker is None:
            report = window[-1]
            why = f"{_days_of(window)} of {policy.window_days}; {report.cause}."
            return Decision(why, report, report.cause, _event(window))
    return Decision(f"{crossing[0][-1].day} alarms; cooling down after {blocker}.")


def full_retrain(
    policy: TriggerPolicy,
    evidence: Evidence,
    trainings: Sequence[Training],
    candidates: Sequence[JudgedCandidate],
) -> Decision:
    """Whether to train everything anew, through the newest day reported.

    Args:
        policy: the rules.
        evidence: reports of drift, which say how far the data goes and since when it is watched.
        trainings: recent trainings, whoever started them.
        candidates: what the gate has ruled on, oldest first.
    """
    newest = evidence.newest
    if newest is None:
        return Decision("No report yet.")
    if _ongoing(trainings):
        return Decision("Waiting for the training in progress.")
    fulls = [training for training in trainings if training.job == FULL_RETRAIN and training.day]
    attempted = max((training.day for training in fulls), default="")
    if attempted and newest.day < _later(attempted, policy.cooldown_days):
        return Decision(f"Cooling down after the full retrain of {attempted}.")
    rejected = _rejected_in_a_row(candidates)
    if rejected >= policy.rejections_before_retrain:
        cause = f"{rejected} rejected fine-tunes in a row"
        return Decision(f"{cause}.", newest, cause, newest.event)
    last = max((training.day for training in fulls if training.judged), default=evidence.first_day)
    due = _later(last, policy.retrain_every_days)
    if newest.day >= due:
        cause = f"{policy.retrain_every_days} days since {last}"
        return Decision(f"{cause}.", newest, cause, newest.event)
    return Decision(
        f"Due on {due}; {rejected} of {policy.rejections_before_retrain} rejected in a row."
    )


def rollback(policy: TriggerPolicy, evidence: Evidence, rolled_back: Sequence[int]) -> Decision:
    """Whether the newest release makes business worse and has to go.

    Only its first `window_days` count: there a fall follows the promotion, later it is drift,
    which a fine-tune answers. There must have been another release before, under which business
    had not fallen already.

    Args:
        policy: the rules.
        evidence: reports of business metrics.
        rolled_back: storage ids of the reports that were rolled back for.
    """
    newest = evidence.newest_telling
    if newest is None:
        return Decision("No report that says anything yet.")
    subject, first_days = f"Release {newest.live_release}", _first_days(policy, evidence)
    if not first_days:
        return Decision(f"{subject} is not new.")
    if any(event >= first_days[0].event for event in rolled_back):
        return Decision(f"{subject} was rolled back from.")
    if not _enough(policy, first_days):
        return Decision(f"{subject} is new and does well so far.")
    if _enough(policy, _before(policy, evidence, first_days[0])):
        return Decision(f"{subject} is new, but business had fallen before.")
    report = next(report for report in reversed(first_days) if report.alarming)
    why = f"{subject}: {_days_of(first_days)} of its first {policy.window_days}; {report.cause}."
    return Decision(why, report, report.cause, _event(first_days))


def is_new_release(policy: TriggerPolicy, evidence: Evidence) -> bool:
    """Whether the newest report falls into its release's first days, which `rollback` judges."""
    return evidence.newest_telling in _first_days(policy, evidence)


def _first_days(policy: TriggerPolicy, evidence: Evidence) -> list[Report]:
    """Reports of the live release's first days; none if it was live before another one was."""
    telling = [report for report in evidence.reports if report.telling]
    others = [report.day for report in telling if not _about_the_live_release(evidence, report)]
    days = [report for report in telling if _about_the_live_release(evidence, report)]
    if not others or days[0].day < others[-1]:
        return []
    return [report for report in days if report.day < _later(days[0].day, policy.window_days)]


def _before(policy: TriggerPolicy, evidence: Evidence, first: Report) -> list[Report]:
    """The last reports before a release's first day, as many as a window has days."""
    earlier = [report for report in evidence.reports if report.telling and report.day < first.day]
    return earlier[-policy.window_days :]


def _window(policy: TriggerPolicy, evidence: Evidence, last: Report) -> list[Report]:
    """Reports about the live release of the days that end with `last`'s; none if that was calm."""
    first = _later(last.day, 1 - policy.window_days)
    return [
        report
        for report in evidence.reports
        if last.alarming
        and first <= report.day <= last.day
        and _about_the_live_release(evidence, report)
    ]


def _about_the_live_release(evidence: Evidence, report: Report) -> bool:
    newest = evidence.newest_telling
    return newest is not None and report.live_release == newest.live_release


def _enough(policy: TriggerPolicy, reports: Sequence[Report]) -> bool:
    return sum(report.alarming for report in reports) >= policy.drifted_days


def _ongoing(trainings: Sequence[Training]) -> bool:
    return any(training.ongoing for training in trainings)


def _event(reports: Sequence[Report]) -> int:
    return max(report.event for report in reports)


def _cooling_down(
    policy: TriggerPolicy, window: Sequence[Report], trainings: Sequence[Training], sensor: str
) -> str | None:
    """The day of the training whose cool-down holds the window's last day up, if one does."""
    day = window[-1].day
    return next(
        (
            training.day
            for training in trainings
            if training.judged
            and training.day
            and day < _later(training.day, policy.cooldown_days)
            and not (training.day == day and training.requested_by == sensor)
        ),
        None,
    )


def _rejected_in_a_row(candidates: Sequence[JudgedCandidate]) -> int:
    """Fine-tunes that were rejected since one passed, or since everything was trained anew."""
    count = 0
    for candidate in reversed(candidates):
        if candidate.better or candidate.full_retrain:
            break
        count += 1
    return count


def _days_of(reports: Sequence[Report]) -> str:
    days = [report.day for report in reports if report.alarming]
    return f"{len(days)} alarming days ({', '.join(days)})"


def _not_enough(policy: TriggerPolicy, newest: Report, window: Sequence[Report]) -> str:
    alarming = sum(report.alarming for report in window)
    return (
        f"{newest.day}: {newest.state}; nothing new to act on "
        f"({alarming} of {policy.drifted_days} alarming days needed)."
    )


def _later(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
