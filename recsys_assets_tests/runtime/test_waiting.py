import logging
import threading

import pytest

from recsys_assets.runtime import waiting
from recsys_assets.runtime.waiting import WaitedTooLong, telling, wait_for


def test_it_returns_what_is_there_in_the_end():
    looks = iter([None, False, 0, "there"])
    assert wait_for(lambda: next(looks), "it", 600, every=0) == "there"


def test_the_error_names_what_was_waited_for_and_the_setting():
    with pytest.raises(WaitedTooLong, match="waited 0 s for Valkey: raise RECSYS_WAIT_SECONDS"):
        wait_for(lambda: None, "Valkey", 0.01)


def test_what_has_ended_for_good_is_told_by_the_look():
    def ended():
        raise ChildProcessError("it has ended")

    with pytest.raises(ChildProcessError, match="it has ended"):
        wait_for(ended, "it", 600)


def test_there_is_a_look_after_the_limit(monkeypatch):
    """Time in which this process itself was stopped is none in which the other did not answer."""
    now = iter([0.0, 0.0, 0.0])
    monkeypatch.setattr(waiting.time, "monotonic", lambda: next(now, 1000.0))
    looks = iter([None, "there"])
    assert wait_for(lambda: next(looks), "it", 600, every=0) == "there"


def test_a_long_wait_is_told(monkeypatch, caplog):
    monkeypatch.setattr(waiting, "_TOLD_EVERY_SECONDS", 0.01)
    told = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda _: told.set()
    waiting._LOG.addHandler(handler)
    try:
        with telling("release 3 to be loaded"):
            assert told.wait(60)
    finally:
        waiting._LOG.removeHandler(handler)
    assert "waiting for release 3 to be loaded: 0 s" in caplog.text
