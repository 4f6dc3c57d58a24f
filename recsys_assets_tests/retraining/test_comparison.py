from math import log2

import numpy as np
import pytest

from recsys_assets.releases.offline import Sessions
from recsys_assets.retraining.comparison import (
    LabelledDay,
    as_markdown,
    compare,
    popular_slates,
    quality,
)

ITEMS = np.array(["a", "b", "c", "d"], dtype=object)


def labelled(day, *rows, purchased=None):
    """One session a row: the user, and what was relevant."""
    users = np.array([user for user, _ in rows], dtype=object)
    sessions = Sessions(users, np.zeros(len(rows), np.int64), users, {})
    return LabelledDay(day, sessions, [frozenset(wanted) for _, wanted in rows], purchased or {})


def always(*items):
    return lambda day: [np.array(items, dtype=object)] * len(day.sessions)


class TestQuality:
    def test_it_is_what_a_hand_computes(self):
        slates = [np.array(["x", "a", "b"]), np.array(["c"]), np.array([], dtype=object)]
        found = quality(slates, [frozenset("abc"), frozenset("c"), frozenset("a")])

        ideal = 1 + 1 / log2(3) + 1 / log2(4)
        ndcg = [(1 / log2(3) + 1 / log2(4)) / ideal, 1, 0]
        assert found["ndcg_at_10"].tolist() == pytest.approx(ndcg)
        assert found["recall_at_10"].tolist() == pytest.approx([2 / 3, 1, 0])

    def test_only_the_first_ten_count(self):
        slate = np.array([f"x{n}" for n in range(10)] + ["a"])
        found = quality([slate], [frozenset("a")])

        assert found["ndcg_at_10"].tolist() == found["recall_at_10"].tolist() == [0]


class TestCompare:
    def test_households_count_alike_however_often_they_come(self):
        days = [
            labelled("2025-03-01", ("ann", "a"), ("ann", "a"), ("bob", "b")),
            labelled("2025-03-02", ("ann", "a")),
        ]
        found = compare("newest", days, always("b"), always("a"), always("c"))

        assert (found.span, found.days) == ("newest", ("2025-03-01", "2025-03-02"))
        assert (found.sessions, found.households) == (4, 2)
        recall = found.metric("recall_at_10")
        assert (recall.candidate, recall.live, recall.popularity) == (0.5, 0.5, 0)
        assert recall.over_live.mean == 0
        assert recall.over_popularity.mean == 0.5

    def test_a_household_has_the_mean_of_its_sessions(self):
        days = [labelled("2025-03-01", ("ann", "a"), ("ann", "b"), ("ann", "b"), ("ann", "b"))]
        found = compare("newest", days, always("a"), always("b"), always("c"))

        assert found.metric("ndcg_at_10").candidate == 0.25
        assert found.metric("ndcg_at_10").over_live.mean == -0.5

    def test_differences_are_paired_so_equal_answers_differ_by_nothing_at_all(self):
        rows = [(f"user-{n}", "ab"[n % 2]) for n in range(40)]
        found = compare("newest", [labelled("2025-03-01", *rows)], *[always("a")] * 3)
        over = found.metric("ndcg_at_10").over_live

        assert (over.mean, over.low, over.high) == (0, 0, 0)

    def test_a_day_without_sessions_adds_nothing(self):
        days = [labelled("2025-03-01"), labelled("2025-03-02", ("ann", "a"))]
        found = compare("newest", days, *[always("a")] * 3)

        assert (found.sessions, found.metric("recall_at_10").candidate) == (1, 1)

    @pytest.mark.parametrize("days", [[], [labelled("2025-03-01")]])
    def test_without_any_session_there_is_nothing_to_compare(self, days):
        with pytest.raises(ValueError, match="no labelled session in the older days"):
            compare("older", days, *[always("a")] * 3)

    def test_the_table_shows_means_and_intervals(self):
        day = labelled("2025-03-01", ("ann", "a"))
        table = as_markdown([compare("newest", [day], always("a"), always("b"), always("c"))])

        assert "**weights alone**: 2025-03-01; 1 sessions of 1 households" in table
        row = "| recall_at_10 | 1.0000 | 0.0000 | 0.0000 | +1.0000 (+1.0000 to +1.0000) |"
        assert row in table


class TestPopularSlates:
    def test_most_bought_first_less_what_the_user_has(self):
        answer = popular_slates(ITEMS, np.array([1.0, 9.0, np.nan, 5.0]))
        day = labelled("2025-03-01", ("ann", "a"), ("bob", "a"), purchased={"bob": frozenset("bz")})

        assert [slate.tolist() for slate in answer(day)] == [list("bdac"), list("dac")]

    def test_a_slate_has_ten_items_however_many_were_bought(self):
        names = np.array([f"{n:02d}" for n in range(50)], dtype=object)
        answer = popular_slates(names, np.arange(50.0)[::-1])
        bought = frozenset(names[:30])
        (slate,) = answer(labelled("2025-03-01", ("ann", "a"), purchased={"ann": bought}))

        assert slate.tolist() == names[30:40].tolist()
