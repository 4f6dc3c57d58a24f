"""Live against frozen, against values computed by hand."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.storage import Store
from recsys_assets_tests.replay.made_up import DAY, MIDNIGHT, answer, traffic
from replay.quality import DayQuality, by_week, labelled_quality
from replay.record import read_slates, write_slates


def day(name, users, live, frozen):
    values = {
        (method, metric): np.array(shown, dtype=np.float64)
        for method, shown in (("live", live), ("frozen", frozen))
        for metric in ("ndcg_at_10", "recall_at_10")
    }
    return DayQuality(name, np.array(users, dtype=object), values)


def test_a_household_counts_once_however_often_it_came():
    week = by_week(
        [
            day("2017-10-01", ["ann", "ann", "bob"], [1.0, 0.5, 0.0], [0.5, 0.5, 0.25]),
            day("2017-10-02", ["ann"], [0.3], [0.2]),
        ]
    )["2017-10-01"]

    assert (week["sessions"], week["households"]) == (4, 2)
    # ann: (1 + .5 + .3) / 3 = .6 and (.5 + .5 + .2) / 3 = .4; bob: 0 and .25
    assert week["ndcg_at_10"]["live"] == pytest.approx(0.3)
    assert week["ndcg_at_10"]["frozen"] == pytest.approx(0.325)
    assert week["ndcg_at_10"]["difference"] == pytest.approx(-0.025)


def test_the_interval_is_of_the_paired_difference():
    users = [f"user-{n}" for n in range(50)]
    frozen = np.linspace(0, 0.9, 50)
    week = by_week([day("2017-10-01", users, frozen + 0.1, frozen)])["2017-10-01"]

    assert week["recall_at_10"]["interval"] == pytest.approx([0.1, 0.1])


def test_weeks_begin_with_the_first_day_and_all_of_them_are_compared_too():
    weeks = by_week(
        [
            day("2017-10-01", ["ann"], [0.2], [0.1]),
            day("2017-10-07", ["ann"], [0.4], [0.1]),
            day("2017-10-08", ["bob"], [0.9], [0.1]),
        ]
    )

    assert list(weeks) == ["2017-10-01", "2017-10-08", "all"]
    assert weeks["2017-10-01"]["ndcg_at_10"]["live"] == pytest.approx(0.3)
    assert weeks["2017-10-08"]["ndcg_at_10"]["difference"] == pytest.approx(0.8)
    assert weeks["all"]["ndcg_at_10"]["live"] == pytest.approx((0.3 + 0.9) / 2)


def test_no_days_no_weeks():
    assert by_week([]) == {}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path.as_uri())


def write_day(store, number, shown, would_be):
    name = f"2017-10-0{number + 1}"
    of_day = traffic(len(shown), name, MIDNIGHT + number * DAY)
    answers = {n: answer(n, release=2, item_ids=items) for n, items in enumerate(shown)}
    frozen = [np.array(items, dtype=object) for items in would_be]
    write_slates(store, of_day, answers, frozen, first_release=1)
    return name


def write_outcomes(store, day, rows):
    """`rows`: user, days since the first, what was relevant."""
    table = pa.table(
        {
            "user_id": [user for user, _, _ in rows],
            "timestamp": pa.array(
                [
                    datetime.fromtimestamp(MIDNIGHT + age * DAY + int(user[-1]), UTC)
                    for user, age, _ in rows
                ],
                pa.timestamp("us", tz="UTC"),
            ),
            "relevant": pa.array([list(items) for _, _, items in rows], pa.list_(pa.string())),
        }
    )
    store.table("outcomes").write(table, day)


def test_slates_are_kept_by_method_user_and_time(store):
    name = write_day(store, 0, [("milk",)], [("bread", "milk")])
    found = read_slates(store, name)

    assert list(found["live"][("user-0", MIDNIGHT)]) == ["milk"]
    assert list(found["frozen"][("user-0", MIDNIGHT)]) == ["bread", "milk"]


def test_sessions_that_led_to_something_are_judged_once_their_outcomes_are_known(store):
    days = [
        write_day(store, 0, [("milk",), ("tea",)], [("bread", "milk"), ("tea",)]),
        write_day(store, 1, [("milk",)], [("milk",)]),
    ]
    write_outcomes(store, "2017-10-02", [("user-0", 0, ["milk"]), ("user-1", 0, [])])

    (found,) = labelled_quality(store, days)

    assert found.day == "2017-10-01"
    assert list(found.users) == ["user-0"]
    assert found.values["live", "ndcg_at_10"] == pytest.approx([1.0])
    assert found.values["frozen", "ndcg_at_10"] == pytest.approx([1 / np.log2(3)])
    assert found.values["frozen", "recall_at_10"] == pytest.approx([1.0])


def test_without_outcomes_nothing_is_known(store):
    assert labelled_quality(store, [write_day(store, 0, [("milk",)], [("milk",)])]) == []


def test_other_methods_are_compared_by_their_names():
    users = [f"user-{n}" for n in range(5)]
    of_day = day("2017-10-01", users, [0.4] * 5, [0.1] * 5)
    week = by_week([of_day], ("frozen", "live"))["all"]["ndcg_at_10"]

    assert (week["frozen"], week["live"]) == pytest.approx((0.1, 0.4))
    assert week["difference"] == pytest.approx(-0.3)
