"""The lines of a command, on a terminal and elsewhere."""

import io
import threading

import pytest
from rich.table import Table

from recsys_assets.terminal.plan import Plan, Position
from recsys_assets.terminal.screen import Screen
from recsys_assets_tests.terminal.test_plan import Clock

ESCAPE = "\x1b"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def clock():
    return Clock()


def lines(stream):
    return stream.getvalue().splitlines()


def table():
    shown = Table("method", "ndcg@10")
    shown.add_row("ours", "0.03", style="bold red")
    return shown


def test_a_line_tells_the_time_and_the_position(clock):
    stream = io.StringIO()
    screen = Screen(stream, clock)
    clock.now = 75.0

    screen.say("started: Valkey")
    screen.follow(Position(Plan({"train": 1.0}, frozenset(), [], ""), clock))
    screen.say("train: epoch 2")

    assert lines(stream) == ["[  75 s] started: Valkey", "[ 0/1   0 %   75 s] train: epoch 2"]


def test_lines_are_shown_as_they_are_however_long():
    stream = io.StringIO()

    Screen(stream).say("[red] is no markup, " + 200 * "x" + "\nand more")

    first, second = lines(stream)
    assert first.endswith("] [red] is no markup, " + 200 * "x")
    assert second == "    and more"


def test_off_a_terminal_there_is_no_colour_code():
    stream = io.StringIO()

    with Screen(stream) as screen:
        screen.doing("training")
        screen.say("epoch 2")
        screen.show(table())
        screen.heartbeat()

    assert ESCAPE not in stream.getvalue()


def test_on_a_terminal_no_color_is_honoured(monkeypatch):
    coloured, plain = Terminal(), Terminal()
    Screen(coloured).show(table())
    monkeypatch.setenv("NO_COLOR", "1")
    Screen(plain).show(table())

    assert "31m" in coloured.getvalue()
    assert "31m" not in plain.getvalue()


def test_on_a_terminal_a_bar_stands_below_the_lines_until_the_end(clock):
    stream = Terminal()

    with Screen(stream, clock) as screen:
        screen.doing("features")
        screen.heartbeat()
        screen.say("ingest: done")

    assert "features, 0 s" in stream.getvalue()
    assert "ingest: done" in stream.getvalue()


def test_silence_is_broken_by_a_line_that_names_what_goes_on(clock):
    stream = io.StringIO()
    screen = Screen(stream, clock)
    screen.doing("features")

    for clock.now in (7.0, 8.0, 9.0, 15.0, 16.0):
        screen.heartbeat()

    assert lines(stream) == [
        "[   8 s] still at features, 8 s",
        "[  16 s] still at features, 16 s",
    ]


def test_a_line_delays_the_next_heartbeat(clock):
    stream = io.StringIO()
    screen = Screen(stream, clock)
    screen.doing("features")
    clock.now = 7.0
    screen.say("features: 20 of 280 days")
    clock.now = 14.0

    screen.heartbeat()

    assert len(lines(stream)) == 1


def test_one_thread_can_have_the_last_word():
    stream = io.StringIO()
    screen = Screen(stream)

    def interrupt():
        screen.for_only(threading.current_thread())
        screen.say("stopping")

    thread = threading.Thread(target=interrupt)
    thread.start()
    thread.join()
    screen.say("train: FAILED")

    assert len(lines(stream)) == 1
    assert "stopping" in stream.getvalue()
