import random
from dataclasses import replace

import pytest

from recsys_assets.retraining.evidence import (
    Evidence,
    JudgedCandidate,
    Report,
    Training,
    UnreadableReport,
)
from recsys_assets.retraining.policy import (
    FINE_TUNE,
    FULL_RETRAIN,
    TriggerPolicy,
    fine_tune,
    full_retrain,
    is_new_release,
    rollback,
)

POLICY = TriggerPolicy(
    drifted_days=2,
    window_days=3,
    cooldown_days=4,
    retrain_every_days=28,
    rejections_before_retrain=3,
)
SENSOR = "drift_sensor"


def report(day: int, event: int, state: str = "drifted", release: int = 1) -> Report:
    return Report(f"2017-10-{day:02d}", event, state, release, f"cause of {day}")


def known(*reports: Report) -> Evidence:
    return Evidence().with_reports(reports)


def training(day: int, event: int | None, **changes: object) -> Training:
    made = Training(FINE_TUNE, f"2017-10-{day:02d}", SENSOR, event, ongoing=False, judged=True)
    return replace(made, **changes)


def acts_on(evidence: Evidence, *trainings: Training) -> str | None:
    decision = fine_tune(POLICY, evidence, trainings, SENSOR)
    return decision.report.day if decision.report else None


# Evidence


def test_the_newest_report_of_a_day_counts_whatever_the_order():
    reports = [report(1, 5), report(1, 9, "ok"), report(2, 7), report(1, 6)]
    expected = known(report(1, 9, "ok"), report(2, 7))
    for seed in range(10):
        shuffled = random.Random(seed).sample(reports, len(reports))
        assert known(*shuffled).reports == expected.reports


def test_a_cursor_is_read_back_as_it_was_written():
    evidence = known(report(1, 5), report(2, 7, "too_few_samples", release=2))

    assert Evidence.from_json(evidence.to_json()) == evidence
    assert Evidence.from_json(None) == Evidence()


def test_a_cursor_stays_small_but_remembers_its_first_day():
    days = [replace(report(1, n), day=f"20{10 + n // 12}-{n % 12 + 1:02d}-01") for n in range(1000)]
    evidence = known(*days)

    assert len(evidence.to_json()) < 4_000
    assert Evidence.from_json(evidence.to_json()).first_day == min(day.day for day in days)


@pytest.mark.parametrize(
    ("day", "metadata", "named"),
    [
        (None, {"state": "ok", "live_release": 1}, "no partition"),
        ("2017-10-01", {"live_release": 1}, "no metadata state"),
        ("2017-10-01", {}, "state, live_release"),
    ],
)
def test_a_report_that_lacks_something_is_named(day, metadata, named):
    with pytest.raises(UnreadableReport, match=f"event 7 .*{named}"):
        Report.read(7, day, metadata)


def test_a_report_without_a_cause_takes_that_of_its_top_alert():
    alerts = [{"name": "conversion", "cause": "conversion fell"}, {"name": "revenue"}]
    read = Report.read(7, "2017-10-01", {"state": "drifted", "live_release": 1, "alerts": alerts})

    assert read.cause == "conversion fell"


# When to fine-tune


def test_enough_drifted_days_within_the_window_start_a_fine_tune_on_the_newest():
    decision = fine_tune(POLICY, known(report(1, 1), report(2, 2, "ok"), report(3, 3)), [], SENSOR)

    assert decision.report == report(3, 3)
    assert decision.cause == "cause of 3"
    assert decision.why == "2 alarming days (2017-10-01, 2017-10-03) of 3; cause of 3."


def test_one_drifted_day_does_not():
    assert acts_on(known(report(1, 1))) is None


def test_drifted_days_that_lie_further_apart_do_not():
    assert acts_on(known(report(1, 1), report(4, 2))) is None


def test_a_day_of_too_few_samples_counts_neither_way():
    few = report(2, 2, "too_few_samples")

    assert acts_on(known(report(1, 1), few)) is None
    assert acts_on(known(report(1, 1), few, report(3, 3))) == "2017-10-03"


def test_drift_from_an_earlier_release_does_not_count_against_its_successor():
    assert acts_on(known(report(1, 1, release=1), report(2, 2, release=2))) is None


def test_drift_from_a_release_that_is_live_no_more_is_nothing_to_act_on():
    evidence = known(report(1, 1, release=1), report(2, 2, release=1), report(3, 3, "ok", 2))

    assert acts_on(evidence) is None


def test_reports_that_finish_out_of_order_count_all_the_same():
    first = known(report(2, 1))

    assert acts_on(first) is None
    assert acts_on(first.with_reports([report(1, 2)])) == "2017-10-02"


def test_a_day_that_was_drifted_and_is_measured_anew_as_ok_does_not_count():
    assert acts_on(known(report(1, 1), report(2, 2), report(1, 3, "ok"))) is None


def test_the_same_reports_are_not_acted_on_twice():
    evidence = known(report(1, 1), report(2, 2))

    assert acts_on(evidence, training(2, 2)) is None
    assert acts_on(evidence, training(2, 2, judged=False)) is None


def test_a_day_that_is_measured_anew_is_acted_on_again_in_spite_of_its_own_cool_down():
    evidence = known(report(1, 1), report(2, 2), report(2, 3))
    decision = fine_tune(POLICY, evidence, [training(2, 2)], SENSOR)

    assert decision.report == report(2, 3)
    assert decision.event == 3


def test_a_correction_that_says_the_same_is_not_acted_on_again():
    acted_on = [report(1, 1), report(2, 2)]
    for day in (1, 2):
        corrected = replace(report(day, 3), correction=True)
        assert acts_on(known(*acted_on, corrected), training(2, 2)) is None
        assert acts_on(known(*acted_on).with_reports([corrected]), training(2, 2)) is None


def test_a_correction_that_says_something_else_counts():
    corrected = replace(report(2, 3), correction=True)

    assert acts_on(known(report(1, 1), report(2, 2, "ok"), corrected)) == "2017-10-02"
    assert acts_on(known(report(1, 1), report(2, 2), replace(corrected, state="ok"))) is None


def test_another_days_cool_down_holds_a_measured_day_up():
    evidence = known(report(1, 1), report(2, 2), report(2, 3))

    assert acts_on(evidence, training(2, 2), training(1, 1)) is None
    assert acts_on(evidence, training(2, 2, requested_by="business_sensor")) is None


@pytest.mark.parametrize(("day", "expected"), [(5, None), (6, "2017-10-06")])
def test_the_cool_down_is_counted_in_days_of_the_data(day, expected):
    evidence = known(*(report(number, number) for number in range(1, day + 1)))

    assert acts_on(evidence, training(2, 2)) == expected


def test_a_training_that_crashed_starts_no_cool_down():
    evidence = known(report(1, 1), report(2, 2), report(3, 3))

    assert acts_on(evidence, training(2, 2, judged=False)) == "2017-10-03"


def test_a_training_by_hand_starts_a_cool_down():
    by_hand = training(1, None, requested_by="", job=FULL_RETRAIN)

    assert acts_on(known(report(1, 1), report(2, 2)), by_hand) is None


def test_what_drifted_while_a_training_went_on_is_decided_when_it_is_done():
    evidence = known(*(report(day, day) for day in range(1, 8)))

    assert acts_on(evidence, training(2, 2, ongoing=True, judged=False)) is None
    assert acts_on(evidence, training(2, 2)) == "2017-10-07"


def test_no_report_at_all_is_no_reason():
    assert fine_tune(POLICY, Evidence(), [], SENSOR).why == "No report yet."


@pytest.mark.parametrize("seed", range(20))
def test_however_reports_come_in_each_tick_starts_at_most_one_and_none_twice(seed):
    rng = random.Random(seed)
    reports = [
        report(rng.randint(1, 28), event, rng.choice(["drifted", "ok", "too_few_samples"]))
        for event in range(1, 60)
    ]
    evidence, trainings = Evidence(), []
    while reports:
        size = rng.randint(1, 8)
        arrived, reports = reports[:size], reports[size:]
        evidence = Evidence.from_json(evidence.to_json()).with_reports(arrived)
        decision = fine_tune(POLICY, evidence, trainings, SENSOR)
        if decision.report:
            trainings.append(training(int(decision.report.day[-2:]), decision.event))

    acted_on = [one.report for one in trainings]
    assert acted_on == sorted(set(acted_on))


# When to train everything anew


def candidates(*verdicts: str) -> list[JudgedCandidate]:
    return [
        JudgedCandidate(event=number, better=verdict == "better", full_retrain=verdict == "full")
        for number, verdict in enumerate(verdicts)
    ]


def retrains(
    day: int, *trainings: Training, gate: list[JudgedCandidate] | None = None
) -> str | None:
    evidence = known(report(1, 1, "ok"), report(day, 2, "ok"))
    decision = full_retrain(POLICY, evidence, trainings, gate or [])
    return decision.cause if decision.report else None


def test_everything_is_trained_anew_at_an_interval():
    assert retrains(28) is None
    assert retrains(29) == "28 days since 2017-10-01"
    assert retrains(29, training(3, 9, job=FULL_RETRAIN)) is None
    assert retrains(31, training(3, 9, job=FULL_RETRAIN)) == "28 days since 2017-10-03"


def test_a_fine_tune_does_not_put_it_off_but_one_in_progress_does():
    assert retrains(29, training(28, 9)) is not None
    assert retrains(29, training(28, 9, ongoing=True)) is None


def test_rejected_fine_tunes_in_a_row_bring_it_forward():
    assert retrains(5, gate=candidates("rejected", "rejected")) is None
    assert retrains(5, gate=candidates("rejected", "better", "rejected", "rejected")) is None
    assert (
        retrains(5, gate=candidates("better", "rejected", "rejected", "rejected"))
        == "3 rejected fine-tunes in a row"
    )


def test_the_row_begins_anew_with_a_full_retrain_even_a_rejected_one():
    assert retrains(9, gate=candidates("rejected", "rejected", "full", "rejected")) is None


def test_one_that_crashed_is_repeated_after_the_cool_down():
    crashed = training(29, 9, job=FULL_RETRAIN, judged=False)

    assert retrains(30, crashed) is None
    assert retrains(31) == "28 days since 2017-10-01"


# When to go back


def business(*reports: Report, rolled_back: tuple[int, ...] = ()) -> int | None:
    decision = rollback(POLICY, known(*reports), rolled_back)
    return decision.report.live_release if decision.report else None


def test_a_new_release_under_which_business_falls_is_rolled_back():
    before = report(1, 1, "ok", release=1)

    assert business(before, report(2, 2, release=2)) is None
    assert business(before, report(2, 2, release=2), report(3, 3, release=2)) == 2


def test_a_fall_that_began_before_it_is_not_its_fault():
    reports = [report(day, day, release=1) for day in (1, 2)]
    reports += [report(day, day, release=2) for day in (3, 4)]

    assert business(*reports) is None


def test_one_that_was_live_for_longer_is_not():
    reports = [report(1, 1, "ok", release=1), report(2, 2, "ok", release=2)]
    reports += [report(day, day, release=2) for day in (6, 7, 8)]

    assert business(*reports) is None


def test_the_first_release_has_nothing_before_it():
    assert business(report(1, 1), report(2, 2)) is None


def test_a_day_of_too_few_samples_is_about_no_release():
    reports = [report(1, 1, "ok", release=1), report(2, 2, release=2)]
    reports += [report(3, 3, "too_few_samples", release=0), report(4, 4, release=2)]

    assert business(*reports) == 2
    assert is_new_release(POLICY, known(*reports[:3]))


def test_it_is_rolled_back_once():
    reports = [report(1, 1, "ok", release=1)]
    reports += [report(day, day, release=2) for day in (2, 3, 4)]

    assert business(*reports, rolled_back=(3,)) is None
    assert business(*reports, rolled_back=(1,)) == 2


def test_a_release_that_came_back_by_rollback_is_not_new():
    reports = [report(1, 1, "ok", release=1), report(2, 2, release=2), report(3, 3, release=2)]
    reports += [report(day, day, release=1) for day in (4, 5)]

    assert business(*reports, rolled_back=(3,)) is None
    assert not is_new_release(POLICY, known(*reports))


def test_only_the_first_days_belong_to_the_guard():
    reports = [report(1, 1, "ok", release=1)]
    reports += [report(day, day, release=2) for day in range(2, 6)]

    assert is_new_release(POLICY, known(*reports[:4]))
    assert not is_new_release(POLICY, known(*reports))
    assert not is_new_release(POLICY, Evidence())
