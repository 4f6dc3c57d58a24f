import math
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from recsys_assets.events.contract import INTERACTIONS
from recsys_assets.monitoring.answer_table import COLUMNS
from recsys_assets.monitoring.outcomes import SCHEMA, days_judged, outcomes
from recsys_assets.storage import MissingPartition, Store

ASKED = datetime(2025, 3, 1, 10, tzinfo=UTC)
DAY = "2025-03-02"  # when a window of 24 hours that opened on 2025-03-01 closes
SLATE = ["tea", "jam", "soap"]
CANDIDATES = ["jam", "tea", "soap", "bread"]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path.as_uri())


def answer(user="ann", at=ASKED, request="r1", **changed):
    row = {
        "request_id": request,
        "release": 3,
        "user_id": user,
        "device": "web",
        "timestamp": at,
        "answered_at": at + timedelta(seconds=1),
        "degraded": False,
        "k": 3,
        "item_ids": SLATE,
        "scores": [0.9, 0.95, 0.1],
        "candidate_ids": CANDIDATES,
        "candidate_scores": [0.95, 0.9, 0.1, 0.0],
    }
    return row | changed


def event(item, hours=0.0, user="ann", kind="purchase", session="s1", **changed):
    row = {
        "user_id": user,
        "item_id": item,
        "timestamp": ASKED + timedelta(hours=hours),
        "event": kind,
        "session_id": session,
        "quantity": 1,
        "price": 10.0,
        "discount": None,
        "device": "web",
    }
    return row | changed


def write(store, answers, events, days=("2025-02-28", "2025-03-01", "2025-03-02")):
    by_day = {day: [] for day in days}
    for row in events:
        by_day[row["timestamp"].date().isoformat()].append(row)
    for day, rows in by_day.items():
        store.table("interactions").write(pa.Table.from_pylist(rows, INTERACTIONS.schema), day)
    logged = {"2025-03-01": [], **{row["timestamp"].date().isoformat(): [] for row in answers}}
    for row in answers:
        logged[row["timestamp"].date().isoformat()].append(row)
    for day, rows in logged.items():
        store.table("request_log").write(pa.Table.from_pylist(rows, COLUMNS), day)


def judged(store, answers, events, hours=24, day=DAY):
    write(store, answers, events)
    table = outcomes(store, day, hours)
    assert table.schema == SCHEMA
    return table.to_pylist()


class TestWindow:
    def test_with_a_day_the_sessions_of_the_day_before_are_judged(self):
        assert days_judged("2025-03-02", 24) == ["2025-03-01"]

    def test_other_windows_close_on_the_sessions_of_two_days(self):
        assert days_judged("2025-03-02", 1) == ["2025-03-01", "2025-03-02"]
        assert days_judged("2025-03-03", 36) == ["2025-03-01", "2025-03-02"]

    def test_both_ends_count_and_what_is_beyond_does_not(self, store):
        events = [
            event("tea"),
            event("jam", hours=24),
            event("soap", hours=24.001),
            event("bread", hours=-0.001),
        ]
        (row,) = judged(store, [answer()], events)
        assert row["relevant"] == ["jam", "tea"]
        assert row["revenue"] == 20

    def test_only_windows_that_closed_on_the_day(self, store):
        answers = [
            answer(request="in time", at=ASKED + timedelta(hours=12)),  # 22:00 + 3 h = 01:00
            answer(request="a day early", at=ASKED),
            answer(request="a day late", at=ASKED + timedelta(hours=36)),
        ]
        rows = judged(store, answers, [], hours=3)
        assert [row["request_id"] for row in rows] == ["in time"]


class TestLabels:
    def test_a_repeated_purchase_is_revenue_but_not_relevant(self, store):
        events = [event("tea", hours=-20), event("tea", hours=2), event("jam", hours=3)]
        (row,) = judged(store, [answer()], events)
        assert row["relevant"] == ["jam"]
        assert row["purchased"] == ["tea", "jam"]
        assert row["revenue"] == 20

    def test_what_others_bought_does_not_count(self, store):
        (row,) = judged(store, [answer()], [event("tea", user="bob", hours=1)])
        assert row["relevant"] == row["purchased"] == []
        assert row["revenue"] == row["orders"] == 0

    def test_money_is_counted_as_the_features_count_it(self, store):
        events = [
            event("tea", quantity=3, price=5.0, discount=1.0),
            event("bread", quantity=None, price=2.0),
            event("soap", price=None),
        ]
        (row,) = judged(store, [answer()], events)
        assert row["revenue"] == 14
        assert row["attributed_revenue"] == 12

    def test_orders_are_distinct_purchase_sessions(self, store):
        events = [
            event("tea", session="a"),
            event("jam", session="a"),
            event("soap", session="b", hours=1),
            event("bread", session="c", hours=2, kind="view"),
            event("milk", session=None, hours=3),
            event("oil", session=None, hours=4),
        ]
        (row,) = judged(store, [answer()], events)
        assert row["orders"] == 3

    def test_clicks_where_the_source_records_them(self, store):
        rows = judged(
            store,
            [answer(), answer("bob", request="r2")],
            [event("soap", kind="click", hours=1), event("jam", kind="click", hours=30)],
        )
        assert [row["clicked"] for row in rows] == [["soap"], []]

    def test_clicks_are_unknown_where_the_source_has_none(self, store):
        (row,) = judged(store, [answer()], [event("tea")])
        assert row["clicked"] is None


class TestQuality:
    def test_against_a_computation_by_hand(self, store):
        events = [event("jam", hours=1), event("bread", hours=2)]
        (row,) = judged(store, [answer()], events)
        ideal = 1 + 1 / math.log2(3)
        assert row["ndcg_at_10"] == pytest.approx((1 / math.log2(3)) / ideal)
        assert row["recall_at_10"] == 0.5
        # Of the four pairs of a relevant and another candidate: jam beats both, bread neither.
        assert row["auc"] == 0.5
        assert row["labelled_candidates"] == 2
        assert row["impressions"] == 3

    def test_unknown_where_nothing_is_relevant(self, store):
        (row,) = judged(store, [answer()], [])
        assert row["ndcg_at_10"] is row["recall_at_10"] is row["auc"] is None
        assert row["labelled_candidates"] == 0

    def test_no_auc_where_no_candidate_is_relevant(self, store):
        (row,) = judged(store, [answer()], [event("milk", hours=1)])
        assert row["auc"] is None
        assert row["ndcg_at_10"] == row["recall_at_10"] == 0

    def test_places_beyond_the_tenth_do_not_count(self, store):
        items = [f"item {n}" for n in range(12)]
        (row,) = judged(store, [answer(item_ids=items)], [event("item 11", hours=1)])
        assert row["recall_at_10"] == 0
        assert row["purchased"] == ["item 11"]


class TestSessions:
    def test_several_answers_to_one_session_count_once_by_the_earliest(self, store):
        later = ASKED + timedelta(minutes=5)
        answers = [
            answer(request="reload", answered_at=later),
            answer(request="first"),
            answer(request="other device", device="mobile", answered_at=later),
        ]
        rows = judged(store, answers, [])
        assert [row["request_id"] for row in rows] == ["first", "other device"]

    def test_anonymous_visitors_cannot_be_followed(self, store):
        assert judged(store, [answer(user="")], [event("tea")]) == []

    def test_a_purchase_counts_for_each_window_that_it_is_in(self, store):
        answers = [answer(), answer(request="r2", at=ASKED + timedelta(hours=2))]
        rows = judged(store, answers, [event("tea", hours=3)])
        assert [row["relevant"] for row in rows] == [["tea"], ["tea"]]

    def test_ordered_by_time(self, store):
        answers = [answer(request=f"r{n}", at=ASKED - timedelta(hours=n)) for n in range(4)]
        rows = judged(store, answers, [])
        assert [row["request_id"] for row in rows] == ["r3", "r2", "r1", "r0"]


class TestMissing:
    def test_before_the_first_day_of_the_log_there_were_no_requests(self, store):
        write(store, [], [])
        assert outcomes(store, "2025-03-01", 24).num_rows == 0

    def test_a_day_without_requests(self, store):
        assert judged(store, [], []) == []

    def test_a_gap_in_the_log_is_an_error(self, store):
        write(store, [answer(at=ASKED - timedelta(days=3))], [], days=("2025-02-26", "2025-02-27"))
        with pytest.raises(MissingPartition, match="partition 2025-02-27 of table 'request_log'"):
            outcomes(store, "2025-02-28", 24)

    def test_a_gap_in_the_interactions_is_an_error(self, store):
        write(store, [answer()], [], days=("2025-03-01",))
        with pytest.raises(MissingPartition, match="partition 2025-03-02 of table 'interactions'"):
            outcomes(store, DAY, 24)

    def test_no_log_at_all_is_an_error(self, store):
        with pytest.raises(MissingPartition, match="table 'request_log'"):
            outcomes(store, DAY, 24)
