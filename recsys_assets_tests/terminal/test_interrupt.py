"""What an interrupted command leaves behind: nothing that it has started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from recsys_assets.services.valkey import Valkey
from recsys_assets.terminal.interrupt import EXIT_CODE
from recsys_assets_tests.serving.fixtures import settings_in

COMMAND = """
import subprocess, sys, time
from functools import partial
from recsys_assets.terminal.interrupt import stopping_what_was_started
from recsys_assets.services import deployment
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import load_settings
from recsys_assets.terminal.screen import Screen

settings = load_settings()
with Screen(sys.stdout) as screen:
    stop = partial(deployment.stop_those, settings)
    with stopping_what_was_started(screen, stop, ["go on with this"]):
{work}
"""
CHILDREN = """
        subprocess.Popen(["sleep", "600"])
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        subprocess.run(["sh", "-c", "sleep 600 & exit"])  # its parent is gone
        subprocess.Popen(["sh", "-c", "trap '' INT; sleep 600; true"])
"""
WAIT = """
        print("ready", flush=True)
        time.sleep(600)
"""
BUSY = """
        print("ready", flush=True)
        import hashlib
        hashlib.pbkdf2_hmac("sha256", b"a library", b"returns in a minute", 10**9)
"""
UNWILLING = """
        try:
            print("ready", flush=True)
            time.sleep(600)
        except BaseException:
            screen.say("FAILED: interrupted")
            subprocess.Popen(["sleep", "600"])
"""
VALKEY = """
        Valkey.of(settings).start()
"""


@pytest.fixture
def settings(tmp_path):
    return settings_in(tmp_path)


@pytest.fixture
def interrupted(settings):
    """Runs work in a command, sends it a signal when it says that it is ready, returns the rest."""

    def run(work, number=signal.SIGINT):
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND.format(work=work)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ
            | {
                "RECSYS_HOME": str(settings.home),
                "RECSYS_ONLINE_STORE_URL": settings.online_store_url,
            },
        )
        before = ""
        while "ready" not in before:
            before = process.stdout.readline()
            assert before
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        said, _ = process.communicate()
        left = [child for child in children if child.is_running()]
        left += [p for p in psutil.process_iter() if _session(p.pid) == process.pid]
        return process.returncode, said, children, left

    return run


def _session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_all_children_end_with_the_command(interrupted, number):
    code, said, children, left = interrupted(CHILDREN + WAIT, number)

    assert code == EXIT_CODE
    assert len(children) >= 4
    assert left == []
    assert said.splitlines()[-1] == "go on with this"


def test_a_library_that_does_not_return_is_not_waited_for(interrupted):
    code, _, _, left = interrupted(CHILDREN + BUSY)

    assert (code, left) == (EXIT_CODE, [])


def test_what_the_main_thread_does_then_is_neither_seen_nor_left(interrupted):
    code, said, _, left = interrupted(UNWILLING)

    assert (code, left) == (EXIT_CODE, [])
    assert "FAILED" not in said


@pytest.mark.integration
def test_a_service_that_the_command_has_started_ends_in_good_order(interrupted, settings):
    code, said, _, left = interrupted(VALKEY + WAIT)

    assert (code, left) == (EXIT_CODE, [])
    assert "stopped: Valkey" in said
    assert not Path(Valkey.of(settings).daemon.pid_file).exists()


@pytest.mark.integration
def test_a_service_that_ran_before_stays(interrupted, settings):
    valkey = Valkey.of(settings)
    valkey.start()
    try:
        code, said, _, left = interrupted(VALKEY + WAIT)

        assert (code, left) == (EXIT_CODE, [])
        assert "nothing else was running" in said
        assert valkey.answers()
    finally:
        valkey.stop()
