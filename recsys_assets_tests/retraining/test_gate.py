from dataclasses import replace

import pytest

from recsys_assets.metrics import Estimate
from recsys_assets.retraining.gate import (
    DATA,
    NEWEST,
    OLDER,
    Compared,
    Comparison,
    EvaluationWindow,
    GateRules,
    evaluation_window,
    judge,
    judge_refresh,
    unknown_to,
)

RULES = GateRules()
BETTER, TIE = Estimate(0.02, 0.01, 0.03), Estimate(0.0, -0.005, 0.005)


def compared(metric="ndcg_at_10", over_live=BETTER, over_popularity=BETTER):
    return Compared(metric, 0.12, 0.10, 0.05, over_live, over_popularity)


def comparison(span=NEWEST, *, households=500, ndcg=None, recall=None):
    return Comparison(
        span,
        ("2025-03-01", "2025-03-02", "2025-03-03"),
        900,
        households,
        (ndcg or compared(), recall or compared("recall_at_10")),
    )


def verdict(*comparisons, faults=(), p50_ms=4.0, live_p50_ms=3.0, rules=RULES):
    return judge(comparisons or (comparison(),), faults, (p50_ms, live_p50_ms), rules)


class TestSpans:
    def test_the_newest_days_are_those_whose_windows_have_closed(self):
        rules = GateRules(judged_days=3, older_days=2, older_age_days=28)

        assert evaluation_window("2025-03-05", rules, attribution_hours=24) == EvaluationWindow(
            through="2025-03-01",
            newest=("2025-03-02", "2025-03-03", "2025-03-04"),
            older=("2025-01-31", "2025-02-01"),
        )

    @pytest.mark.parametrize(("hours", "last"), [(1, 4), (24, 4), (25, 3), (72, 2)])
    def test_a_longer_window_closes_later(self, hours, last):
        assert evaluation_window("2025-03-05", RULES, hours).newest[-1] == f"2025-03-0{last}"

    def test_days_that_the_live_release_knows_are_not_judged_on(self):
        days = ("2025-03-02", "2025-03-03", "2025-03-04")

        assert unknown_to(days, "2025-03-02") == days[1:]
        assert unknown_to(days, "2025-03-04") == ()


class TestJudge:
    def test_what_is_better_in_everything_may_be_promoted(self):
        found = verdict(comparison(), comparison(OLDER))

        assert found.better
        assert (found.word, found.reason) == ("better", "better than the live release")

    def test_a_tie_is_not_promoted(self):
        found = verdict(comparison(ndcg=compared(over_live=TIE)))

        assert not found.better
        assert found.word == "rejected"
        assert "not above live: +0.0000 (-0.0050 to +0.0050)" in found.reason

    def test_an_interval_that_includes_a_large_loss_rejects(self):
        wide = compared("recall_at_10", over_live=Estimate(0.03, -0.011, 0.07))
        (reason,) = verdict(comparison(recall=wide)).reasons

        assert reason.startswith("recall_at_10 of the newest days may have lost more than 10%")
        assert "of 0.1000: +0.0300 (-0.0110 to +0.0700)" in reason

    def test_a_loss_within_what_is_allowed_does_not(self):
        slight = compared("recall_at_10", over_live=Estimate(-0.001, -0.0099, 0.01))

        assert verdict(comparison(recall=slight)).better

    def test_what_may_be_no_better_than_popularity_is_rejected(self):
        unsure = compared(over_popularity=Estimate(0.01, -0.001, 0.02))
        (reason,) = verdict(comparison(ndcg=unsure)).reasons

        assert reason == "NDCG@10 is not surely above popularity: +0.0100 (-0.0010 to +0.0200)"

    def test_too_few_households_are_the_only_reason_for_they_say_nothing(self):
        worse = compared(over_live=Estimate(-0.05, -0.09, -0.01))
        few = comparison(households=99, ndcg=worse)

        assert verdict(few).reasons == ("99 households in the newest days, 100 are needed",)

    def test_without_a_day_that_nobody_has_learned_from_nothing_is_promoted(self):
        (reason,) = verdict(comparison(OLDER)).reasons

        assert "no labelled day that neither it nor the live release has learned from" in reason

    def test_what_fresh_data_alone_gain_makes_no_weights_better(self):
        worse = compared(over_live=Estimate(-0.005, -0.009, -0.001))

        assert not verdict(comparison(ndcg=worse), comparison(DATA)).better

    def test_what_fresh_data_alone_lose_makes_no_weights_worse(self):
        worse = compared(over_live=Estimate(-0.05, -0.09, -0.01))

        assert verdict(comparison(), comparison(DATA, ndcg=worse)).better

    def test_forgetting_the_older_days_rejects(self):
        forgot = compared(over_live=Estimate(-0.011, -0.02, -0.001))
        (reason,) = verdict(comparison(), comparison(OLDER, ndcg=forgot)).reasons

        assert reason == (
            "NDCG@10 of 2025-03-01 to 2025-03-03 fell by more than 10% of 0.1000: "
            "-0.0110 (-0.0200 to -0.0010)"
        )

    @pytest.mark.parametrize(
        "fall", [Estimate(-0.011, -0.02, 0.001), Estimate(-0.009, -0.01, -0.001)]
    )
    def test_a_fall_that_may_be_chance_or_is_slight_is_no_forgetting(self, fall):
        assert verdict(comparison(), comparison(OLDER, ndcg=compared(over_live=fall))).better

    def test_a_few_older_households_reject_nobody(self):
        assert verdict(comparison(), comparison(OLDER, households=2)).better

    def test_slow_answers_reject(self):
        assert verdict(p50_ms=25.0).better
        assert verdict(p50_ms=25.06).reasons == (
            "p50 latency is 25.1 ms, at most 25.0 are allowed",
        )

    def test_on_a_busy_machine_it_is_held_against_the_live_release(self):
        assert verdict(p50_ms=180.0, live_p50_ms=90.0).better
        assert not verdict(p50_ms=190.0, live_p50_ms=90.0).better

    def test_every_fault_of_the_canary_rejects(self):
        found = verdict(faults=("an item appears twice", "release 3 answered"))

        assert found.reasons == ("canary: an item appears twice", "canary: release 3 answered")

    def test_all_reasons_stand_in_one_line(self):
        tie = comparison(ndcg=compared(over_live=TIE))

        assert verdict(tie, faults=("x",), p50_ms=99).reason.count("; ") == 2

    def test_a_model_that_answers_with_nothing_countable_is_not_better(self):
        nan = Estimate(*[float("nan")] * 3)

        assert not verdict(comparison(ndcg=compared(over_live=nan, over_popularity=nan))).better

    def test_the_rules_can_be_set(self):
        strict = replace(RULES, min_households=501)

        assert "501 are needed" in verdict(rules=strict).reason


class TestJudgeRefresh:
    def verdict(self, gain=None, withdrawn=0.0, faults=(), p50_ms=4.0):
        return judge_refresh(gain, withdrawn, faults, (p50_ms, 3.0), RULES)

    def test_what_answers_well_and_has_lost_nothing_goes_live(self):
        assert self.verdict().better
        assert self.verdict(comparison(DATA)).better

    def test_it_need_not_be_better(self):
        assert self.verdict(comparison(DATA, ndcg=compared(over_live=TIE))).better

    def test_faults_and_slow_answers_reject_it_as_they_do_a_candidate(self):
        found = self.verdict(faults=("an item appears twice",), p50_ms=25.1)

        assert found.reasons == (
            "canary: an item appears twice",
            "p50 latency is 25.1 ms, at most 25.0 are allowed",
        )

    def test_a_catalogue_that_has_shrunk_at_once_is_a_broken_delivery(self):
        assert self.verdict(withdrawn=0.2).better
        (reason,) = self.verdict(withdrawn=0.201).reasons
        assert reason.startswith("20.1% of the live release's items are in the catalogue no more")

    def test_fresh_data_that_surely_lose_reject_it(self):
        worse = compared(over_live=Estimate(-0.011, -0.02, -0.001))
        (reason,) = self.verdict(comparison(DATA, ndcg=worse)).reasons

        assert reason == (
            "NDCG@10 over fresh data fell by more than 10% of 0.1000: -0.0110 (-0.0200 to -0.0010)"
        )

    @pytest.mark.parametrize(
        "loss", [Estimate(-0.011, -0.02, 0.001), Estimate(-0.009, -0.01, -0.001)]
    )
    def test_a_loss_that_may_be_chance_or_is_slight_does_not(self, loss):
        assert self.verdict(comparison(DATA, ndcg=compared(over_live=loss))).better

    def test_a_loss_of_too_few_households_says_nothing(self):
        worse = compared(over_live=Estimate(-0.05, -0.09, -0.01))

        assert self.verdict(comparison(DATA, households=99, ndcg=worse)).better
