import os
import subprocess
import sys

from benchmarks.serving.layouts import Running, all_processes
from benchmarks.serving.usage import machine_cpu_seconds, usage_of, used_between


def test_usage_of_a_process():
    before, busy = usage_of({"me": os.getpid()}), machine_cpu_seconds()
    sum(range(3_000_000))
    used = used_between(before, usage_of({"me": os.getpid()}))["me"]
    assert used["cpu_seconds"] > 0
    assert used["resident_mb"] >= used["proportional_mb"] > 1
    assert machine_cpu_seconds() > busy


def test_a_process_that_has_ended_is_left_out():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert usage_of({"ended": ended.pid}) == {}


def test_processes_of_a_server_without_model_processes():
    running = Running("", "recommend", {"tritonserver": os.getpid(), "valkey": 1})
    assert all_processes(running) == running.processes
