"""Progress of long work as lines, now and then."""

from recsys_assets.runtime.pace import paced, told
from recsys_assets_tests.terminal.test_plan import Clock


def test_progress_is_said_every_five_seconds_at_most():
    clock, lines = Clock(), []
    progress = paced(lines.append, "days", clock)

    for day in range(1, 9):
        clock.now = day * 2.0
        progress(day * 1000, 8000)

    assert lines == ["3,000 of 8,000 days", "6,000 of 8,000 days"]


def test_short_work_says_nothing():
    lines = []
    progress = paced(lines.append, "days", Clock())

    for day in range(8):
        progress(day, 8)

    assert lines == []


def test_parts_count_as_done_when_the_next_is_taken():
    seen = []

    parts = list(told(["a", "b"], lambda done, total: seen.append((done, total))))

    assert parts == ["a", "b"]
    assert seen == [(0, 2), (1, 2)]
