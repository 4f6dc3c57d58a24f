from datetime import date

import click
import pytest

from benchmarks.sessions import measure

CLICKS = (
    ("1", "2014-04-01T10:00:00.000Z", "100"),
    ("1", "2014-04-01T10:01:00.000Z", "200"),
    ("2", "2014-04-01T11:00:00.000Z", "100"),
    ("2", "2014-04-01T11:01:00.000Z", "200"),
    ("3", "2014-04-02T10:00:00.000Z", "100"),
    ("3", "2014-04-02T10:01:00.000Z", "200"),  # as two sessions before it
    ("4", "2014-04-02T10:00:00.000Z", "100"),
    ("4", "2014-04-02T10:01:00.000Z", "300"),  # of which nothing is known
    ("5", "2014-04-02T10:00:00.000Z", "100"),  # one click asks for nothing
)


@pytest.fixture
def folder(tmp_path):
    clicks = "".join(f"{session},{time},{item},0\n" for session, time, item in CLICKS)
    (tmp_path / "yoochoose-clicks.dat").write_text(clicks)
    (tmp_path / "yoochoose-buys.dat").write_text("1,2014-04-01T10:02:00.000Z,200,1000,1\n")
    return tmp_path


def test_the_last_click_of_a_days_sessions_is_asked_of_those_before(folder):
    figures = measure(folder, date(2014, 4, 2), days=1)

    assert (figures["sessions"], figures["learned_from"], figures["items"]) == (2, 2, 2)
    assert figures["session_knn"]["mean"] == 0.5
    assert figures["popularity"]["mean"] == 0.5


@pytest.mark.parametrize("day", [date(2014, 4, 1), date(2014, 9, 30)])
def test_a_day_with_nothing_before_it_or_nothing_on_it_says_so(folder, day):
    with pytest.raises(click.ClickException, match="give --asked and --days of days that it holds"):
        measure(folder, day, days=1)
