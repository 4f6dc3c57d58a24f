"""A process that is told to stop ends by itself, and at the second time at once."""

import signal
import subprocess
import sys

import pytest

from recsys_assets_tests.waiting import LIMIT, ended

_PROCESS = """
from recsys_assets.runtime.stopping import told_to_stop
class Destroyed:
    def __del__(self):
        print("waits", flush=True)
        stop.wait()
stop = told_to_stop()
victim = Destroyed()
del victim
print("ends", flush=True)
{afterwards}
"""

_OF_ANOTHER_THREAD = """
import signal, sys, threading, time
from recsys_assets.runtime.stopping import told_to_stop
def signal_itself():
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), int(sys.argv[1]))
stop = told_to_stop()
threading.Thread(target=signal_itself).start()
stop.wait()
"""


@pytest.fixture
def start():
    started = []

    def start(afterwards=""):
        command = [sys.executable, "-c", _PROCESS.format(afterwards=afterwards)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "waits\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_even_if_told_inside_a_destructor(start, number):
    process = start()
    process.send_signal(number)
    assert process.communicate(timeout=LIMIT)[0] == "ends\n"
    assert process.returncode == 0


def test_a_second_signal_ends_what_does_not_look(start):
    process = start("import time; time.sleep(3600)")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "ends\n"
    process.send_signal(signal.SIGINT)
    assert ended(process) == -signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_the_kernel_hands_to_another_thread_is_not_lost(number):
    command = [sys.executable, "-c", _OF_ANOTHER_THREAD, str(int(number))]
    assert subprocess.run(command, timeout=LIMIT, check=False).returncode == 0
