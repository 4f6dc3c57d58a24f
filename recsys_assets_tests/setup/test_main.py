"""What a person reads: one line that says what failed and what to do, or what was done."""

import errno
import fcntl
import platform
import re
import subprocess
import sys

import pytest

from recsys_assets.settings import REPOSITORY
from tools.setup import __main__ as setup
from tools.setup import commands, debian, failure, locks, parts
from tools.setup.sizes import LOCKS


def test_every_part_has_the_demo_and_keeps_its_place():
    assert parts.needed([]) == ["demo"]
    assert parts.needed(["test", "check"]) == ["demo", "check", "test"]
    with pytest.raises(failure.Failure, match=r"no part 'tests': name one of demo, .*test"):
        parts.needed(["tests"])


def test_parts_of_before_are_remembered(tmp_path):
    file = tmp_path / "parts"
    assert parts.recorded(file) == []
    file.write_text("demo\ntest\nno-longer-a-part\n")
    assert parts.recorded(file) == ["demo", "test"]


def test_every_pin_has_a_hash_and_a_size_and_no_host():
    size = locks.sizes(REPOSITORY / locks.SIZES)
    wanted = set()
    for name in LOCKS:
        file = REPOSITORY / locks.lock(name)
        text = file.read_text()
        assert "://" not in text
        entries = re.findall(r"(?m)^\S+==[^\\\n]*(?:\\\n[^\\\n]*)*", text)
        assert len(entries) == len(locks.locked([file]))
        assert all("--hash=sha256:" in entry for entry in entries)
        wanted |= locks.locked([file])
    assert set(size) == wanted
    assert min(size.values()) > 0


def test_files_of_one_environment_agree_in_every_version():
    files = {lock for part in parts.PARTS.values() for lock in part.locks} | {"orchestration"}
    pins = locks.locked([REPOSITORY / locks.lock(name) for name in files])
    assert len({pin.split("==")[0] for pin in pins}) == len(pins)


def test_the_users_own_variables_win():
    environ = commands.environment({"UV_HTTP_TIMEOUT": "7", "PIP_RETRIES": "1"})
    assert (environ["UV_HTTP_TIMEOUT"], environ["PIP_RETRIES"]) == ("7", "1")
    assert int(environ["UV_HTTP_RETRIES"]) > 3
    assert int(environ["PIP_DEFAULT_TIMEOUT"]) >= 60


def test_proxy_and_mirror_hold_for_all():
    environ = commands.environment(
        {"HTTPS_PROXY": "http://proxy:1", "PIP_INDEX_URL": "https://mirror/a", "PIP_CERT": "ca.pem"}
    )
    assert environ["https_proxy"] == "http://proxy:1"
    assert environ["UV_DEFAULT_INDEX"] == "https://mirror/a"
    assert environ["SSL_CERT_FILE"] == "ca.pem"
    both = {"PIP_INDEX_URL": "https://mirror/a", "UV_DEFAULT_INDEX": "https://mirror/b"}
    assert commands.environment(both)["UV_DEFAULT_INDEX"] == "https://mirror/b"


def test_the_users_own_configuration_of_apt_wins():
    given = debian.patience('Acquire::Retries "3";\nAcquire::http::Timeout "";\n')
    assert not any("Retries" in word for word in given)
    assert "Acquire::http::Timeout=180" in given


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("error: No space left on device (os error 28)", "the disk is full"),
        ("error: failed to create file: Permission denied (os error 13)", "no permission to write"),
        ("error: error sending request for url\n  Caused by: operation timed out", "network"),
        ("error: Hash mismatch for `numpy==2.4.6`", "not the one that was locked"),
        ("E: Could not get lock /var/lib/apt/lists/lock", "another apt is at work"),
        ("ERROR: No matching distribution found for uv==9", "no such package"),
        ("first line\nsomething else broke", "something else broke"),
    ],
)
def test_an_error_is_one_line_with_its_meaning_and_the_log(said, meaning, tmp_path):
    line = str(failure.explain("installing x", said, tmp_path / "setup.log"))
    assert line.startswith("installing x failed, ")
    assert meaning in line
    assert str(tmp_path / "setup.log") in line
    assert "\n" not in line


def test_a_file_that_cannot_be_written_is_one_line():
    full = OSError(errno.ENOSPC, "No space left on device", "some/file")
    assert "some/file failed, the disk is full" in str(failure.of_the_system(full))
    denied = PermissionError(errno.EACCES, "Permission denied", ".venvs")
    assert "no permission to write .venvs" in str(failure.of_the_system(denied))


def test_too_little_space_is_said_before_anything_is_loaded(tmp_path):
    failure.require_space(tmp_path, 1)
    with pytest.raises(failure.Failure, match=r"GB free and 1000000\.0 GB are needed: free"):
        failure.require_space(tmp_path, 10**15)


def test_the_network_is_tried_again_and_nothing_else_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(commands.time, "sleep", lambda seconds: None)
    run = commands.Commands(tmp_path / "log", {"PATH": "/usr/bin:/bin"}).run
    count = tmp_path / "count"
    told = "echo connection reset by peer; exit 1"
    fails_once = f"echo x >> {count}; [ $(wc -l < {count}) -gt 1 ] || {{ {told}; }}"
    run("loading", "sh", "-c", fails_once)
    assert "the network failed; once more" in capsys.readouterr().out
    with pytest.raises(failure.Failure, match="loading failed, oh no"):
        run("loading", "sh", "-c", f"echo x >> {count}; echo oh no; exit 1")
    assert len(count.read_text().split()) == 3


def test_a_long_step_gives_signs_of_life(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(commands, "_HEARTBEAT_SECONDS", 0.05)
    run = commands.Commands(tmp_path / "log", {"PATH": "/usr/bin:/bin"}).run
    run("waiting", "sh", "-c", "echo Downloading numpy; sleep 0.5")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    assert re.match(r" +\d+ s, \d+ MB unpacked; Downloading numpy", lines[-1])


def test_another_platform_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert setup.main([]) == 1
    assert re.fullmatch(
        r"setup: the packages are for Linux on x86_64, .*aarch64: use .*\n", capsys.readouterr().err
    )
    assert not (tmp_path / ".venvs").exists()


def test_two_set_ups_of_a_clone_exclude_each_other(tmp_path):
    (tmp_path / ".venvs").mkdir()
    program = "from tools.setup import __main__ as s; s._exclude_others(); print('in', flush=True)"
    with (tmp_path / ".venvs/setup.lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        with subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={"PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            text=True,
        ) as second:
            assert second.stdout.readline().startswith("another set-up works in this clone")
            assert second.poll() is None
            fcntl.flock(first, fcntl.LOCK_UN)
            assert second.stdout.readline() == "in\n"


def test_a_command_holds_the_lock_though_its_set_up_was_killed(tmp_path):
    program = (
        "import os, sys, pathlib; from tools.setup import __main__ as s, commands as c; "
        "lock = s._exclude_others(); "
        "run = c.Commands(pathlib.Path('log'), os.environ, keep_open=[lock]).run; "
        "run('sleeping', 'sh', '-c', 'echo $$ > pid; exec sleep 600')"
    )
    (tmp_path / ".venvs").mkdir()
    environ = {"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=environ) as killed:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert killed.poll() is None
        killed.kill()
    orphan = int((tmp_path / "pid").read_text())
    with (tmp_path / ".venvs/setup.lock").open("w") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        subprocess.run(["kill", str(orphan)], check=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


def test_a_missing_python_is_one_line_with_the_command(tmp_path):
    for tool, script in (("dirname", 'exec /usr/bin/dirname "$@"'), ("id", "echo 1000")):
        (tmp_path / tool).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / tool).chmod(0o755)
    done = subprocess.run(
        ["/bin/bash", "scripts/setup"],
        cwd=REPOSITORY,
        env={"PATH": str(tmp_path), "PYTHON": "python3.99"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "setup: python3.99 with venv is missing: "
        "run `sudo apt-get install -y python3.11 python3.11-venv`, or set PYTHON\n"
    )
