"""A day's report from the tables of a store, and experiments on them."""

import json
from dataclasses import replace

import polars as pl
import pytest

from recsys_assets.monitoring import loading
from recsys_assets.monitoring.answer_table import COLUMNS
from recsys_assets.monitoring.drift import measure
from recsys_assets.monitoring.loading import answered_traffic, day_traffic, live_release
from recsys_assets.monitoring.plots import plot_signals
from recsys_assets.monitoring.thresholds import OK, TOO_FEW, DriftThresholds
from recsys_assets.releases.release import MissingRelease, Promoted, Releases
from recsys_assets.storage import MissingPartition, Store
from recsys_assets_tests.monitoring.market import OneRelease, day_of, request_log, write_market
from replay.drift_experiments import shock_day, shocks, stationary_control, triggers

TRAINED, ANSWERED = 28, 8
LIMITS = DriftThresholds(reference_days=21, resamples=100)
LAST = day_of(TRAINED + ANSWERED - 1).isoformat()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    store = Store(tmp_path_factory.mktemp("market").as_uri())
    write_market(store, TRAINED + ANSWERED, answered_from=TRAINED)
    return store


@pytest.fixture(scope="module")
def releases(tmp_path_factory) -> OneRelease:
    return OneRelease(tmp_path_factory.mktemp("release"), day_of(TRAINED - 1))


def test_a_day_is_measured_against_the_training_span_of_the_live_release(store, releases):
    report = measure(store, releases, LAST, LIMITS, 24)
    assert report.judged.state == OK
    assert report.live_release == 1
    assert report.reference_span == (day_of(7).isoformat(), day_of(27).isoformat())
    assert report.labels_about == [day_of(TRAINED + ANSWERED - 2).isoformat()]


def test_answers_of_its_refreshes_are_a_releases_own(tmp_path):
    store = Store(tmp_path.as_uri())
    write_market(store, TRAINED + ANSWERED, answered_from=TRAINED)
    releases = OneRelease(tmp_path, day_of(TRAINED - 1), refreshes=(2, 4))
    alone = answered_traffic(store, live_release(OneRelease(tmp_path, day_of(TRAINED - 1))), LAST)
    for number, release in ((TRAINED, 1), (TRAINED + 1, 2), (TRAINED + 2, 4)):
        day = day_of(number).isoformat()
        store.table("request_log").write(request_log(store, number, release), day)
    found = answered_traffic(store, live_release(releases), LAST)

    assert found.scores.equals(alone.scores)
    assert measure(store, releases, LAST, LIMITS, 24).live_release == 1


def test_metadata_is_plain_and_whole(store, releases):
    metadata = measure(store, releases, LAST, LIMITS, 24).metadata()
    assert json.loads(json.dumps(metadata)) == metadata
    assert metadata["day"] == LAST
    assert (metadata["state"], metadata["drifted"], metadata["cause"]) == (OK, 0, "")
    assert metadata["alerts"] == []
    assert metadata["samples"] == 200
    assert {"live_release", "max_psi", "score_kl", "auc_drop", "revenue"} <= metadata.keys()


def test_of_an_answer_only_the_users_features_are_watched(store, releases):
    assert {*COLUMNS.names} <= {*pl.DataFrame(request_log(store, TRAINED)).columns}

    requests = day_traffic(store, live_release(releases), LAST).traffic.requests

    assert {*COLUMNS.names} & {*requests.columns} == {"user_id", "timestamp", "device"}
    assert {"age", "spend_28d"} <= {*requests.columns}


def test_several_answers_to_one_session_count_once(tmp_path, releases):
    store = Store(tmp_path.as_uri())
    write_market(store, TRAINED + 1, answered_from=TRAINED)
    log = pl.DataFrame(request_log(store, TRAINED))
    again = log.with_columns(pl.col("answered_at") + pl.duration(seconds=1))
    day = day_of(TRAINED).isoformat()
    store.table("request_log").write(pl.concat([log, again]).to_arrow(), day)
    assert measure(store, releases, day, LIMITS, 24).judged.samples == 200


def test_of_a_huge_day_some_sessions_are_drawn_with_all_their_answers(
    tmp_path, releases, monkeypatch
):
    store = Store(tmp_path.as_uri())
    write_market(store, TRAINED + ANSWERED, answered_from=TRAINED)
    log = pl.DataFrame(request_log(store, TRAINED + ANSWERED - 1))
    again = log.with_columns(pl.col("answered_at") + pl.duration(seconds=1))
    store.table("request_log").write(pl.concat([log, again]).to_arrow(), LAST)
    monkeypatch.setattr(loading, "ANSWERS", 100)

    live = live_release(releases)
    drawn = day_traffic(store, live, LAST)
    sessions = drawn.traffic.requests
    assert drawn.looked_at == 0.25
    assert 25 < len(sessions) < 75  # of 200
    first = log.join(sessions, on=["user_id", "timestamp"], how="semi")["answered_at"]
    assert sessions.join(log, on="user_id")["answered_at"].equals(first)
    assert drawn.traffic.purchases["day"].len() == 800  # what was bought is counted whole
    reference = answered_traffic(store, live, LAST)
    assert len(reference.scores) < 7 * 50
    assert reference.scores["day"].n_unique() == 7


def test_answers_of_an_outage_are_left_out_and_counted(tmp_path, releases):
    store = Store(tmp_path.as_uri())
    write_market(store, TRAINED + 1, answered_from=TRAINED)
    log = pl.DataFrame(request_log(store, TRAINED))
    outage = log.with_columns(
        degraded=pl.int_range(pl.len()) < 150, spend_28d=pl.lit(None, pl.Float64)
    )
    day = day_of(TRAINED).isoformat()
    store.table("request_log").write(outage.to_arrow(), day)
    report = measure(store, releases, day, LIMITS, 24)
    assert report.judged.state == TOO_FEW
    assert report.degraded_share == 0.75


def test_a_day_without_a_request_log_is_named(store, releases):
    with pytest.raises(MissingPartition, match="request_log"):
        measure(store, releases, day_of(20).isoformat(), LIMITS, 24)


class Successor(OneRelease):
    """Release 2, trained through five days more, is live."""

    def promoted(self):
        return Promoted(2, (1,), "2025-01-01T00:00:00+00:00")

    def manifest(self, release):
        later = day_of(TRAINED + 4).isoformat()
        return {"trained_through": later} if release == 2 else super().manifest(release)

    def part(self, release, name):
        return super().part(1, name)


def test_a_day_can_be_measured_as_if_the_release_of_then_were_live(store, tmp_path):
    releases = Successor(tmp_path, day_of(TRAINED - 1))
    now = measure(store, releases, LAST, LIMITS, 24)
    then = measure(store, releases, LAST, LIMITS, 24, release=1)

    assert [one.live_release for one in (now, then)] == [2, 1]
    ends = [one.reference_span[1] for one in (now, then)]
    assert ends == [day_of(TRAINED + 4).isoformat(), day_of(TRAINED - 1).isoformat()]


def test_without_a_promoted_release_there_is_no_reference(tmp_path):
    with pytest.raises(MissingRelease, match="materialize promoted_release"):
        live_release(Releases(Store(tmp_path.as_uri())))


def test_signals_are_drawn(store, releases):
    assert plot_signals(measure(store, releases, LAST, LIMITS, 24)).startswith(b"\x89PNG")


def test_a_world_without_drift_never_triggers(store, releases):
    limits = DriftThresholds(reference_days=18, resamples=100)
    control = stationary_control(store, live_release(releases), limits, (2, 3), days=10)
    assert control == {"days": 10, "drifted": 0, "triggers": 0, "causes": []}


def test_every_shock_is_found(store, releases):
    found = shocks(store, live_release(releases), LIMITS, LAST)
    assert len(found) == 7
    assert all(one["found"] and one["day"] == LAST for one in found.values()), found


def test_shocks_are_made_to_a_day_that_the_release_has_labels_of(store, releases):
    live = live_release(releases)
    assert shock_day(store, live, LIMITS) == LAST
    with pytest.raises(ValueError, match="no day with 60 labelled answers"):
        shock_day(store, replace(live, release=2, releases=frozenset({2})), LIMITS)


@pytest.mark.parametrize(
    ("drifted", "expected"),
    [("000000", 0), ("010010", 0), ("011000", 1), ("010100", 1), ("111100", 3)],
)
def test_a_trigger_needs_two_of_three_days(drifted, expected):
    assert triggers([day == "1" for day in drifted], (2, 3)) == expected
