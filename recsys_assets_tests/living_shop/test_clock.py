"""The clock moves the time of Python's processes; integration, for it waits until they notice."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys_assets_tests.living_shop.telling_process import ASKED_SECONDS
from tools.living_shop import clock as clock_module
from tools.living_shop.clock import SHARED_MEMORY, Clock

pytestmark = pytest.mark.integration

MOMENT = datetime(2017, 10, 15, 23, 58, tzinfo=UTC)
TELLS = [sys.executable, str(Path(__file__).with_name("telling_process.py"))]


@pytest.fixture
def at_once(monkeypatch):
    """No process has to notice."""
    monkeypatch.setattr(clock_module, "_NOTICED_SECONDS", 0.0)


@pytest.fixture
def clock(tmp_path):
    clock = Clock(tmp_path)
    clock.begin(MOMENT)
    return clock


class Process:
    """One that lives on while its clock is moved."""

    def __init__(self, environment):
        self._process = subprocess.Popen(
            TELLS,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        time, slept, waited = map(float, self._process.stdout.readline().split())
        assert min(slept, waited) > ASKED_SECONDS / 2
        return datetime.fromtimestamp(time, UTC)

    def kill(self):
        self._process.kill()
        self._process.wait()
        return self._process.pid

    def end(self):
        self._process.stdin.close()
        self._process.wait()


def is_soon_after(found, moment):
    return moment <= found < moment + timedelta(minutes=10)


def test_a_process_that_lives_on_notices_that_its_clock_is_moved(clock):
    later = MOMENT + timedelta(days=2)
    with clock.environment() as environment:
        process = Process(environment)
        before = process.ask()
        clock.advance_to(later)
        after = process.ask()
        process.end()

    assert is_soon_after(before, MOMENT)
    assert is_soon_after(after, later)


def test_nothing_is_left_in_shared_memory_of_a_process_that_was_killed(at_once, clock):
    with clock.environment() as environment:
        process = Process(environment)
        process.ask()
        pid = process.kill()
        assert list(SHARED_MEMORY.glob(f"*faketime_*_{pid}"))

    assert not list(SHARED_MEMORY.glob(f"*faketime_*_{pid}"))


def test_it_does_not_go_back(at_once, clock):
    clock.advance_to(MOMENT - timedelta(days=1))

    assert is_soon_after(clock.now, MOMENT)


def test_while_a_shop_is_stopped_its_clock_runs_on(at_once, clock, tmp_path):
    clock.advance_to(MOMENT + timedelta(days=3))
    told = clock.now

    again = Clock(tmp_path)
    again.begin(MOMENT)

    assert is_soon_after(again.now, told)


def test_a_shop_that_was_stopped_for_long_has_lost_no_day(at_once, clock, tmp_path):
    (tmp_path / "told").write_text((MOMENT - timedelta(days=9)).isoformat())

    again = Clock(tmp_path)
    again.begin(MOMENT)

    assert is_soon_after(again.now, MOMENT - timedelta(days=9, hours=-1))
