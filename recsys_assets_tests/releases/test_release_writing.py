"""A disk that fills while a release is written.

It is a real one, of 4 MB, in a namespace of its own, where the system lets one be mounted. In any
case the kernel also ends a write for real at 4 MB, by a limit, and only the free space that is
looked up afterwards is made up.
"""

import subprocess
import sys
import tempfile

import pytest

WRITE = """
import sys
from pathlib import Path
import numpy as np
from recsys_assets.releases.release import MANIFEST, Reason, Releases
from recsys_assets.releases.release_writing import DiskFull
from recsys_assets.storage import Store

releases = Releases(Store(Path(sys.argv[1]).as_uri()))
with releases.new() as draft:
    (draft.path / MANIFEST).write_text('{"release": 1}')
releases.record(1, (), Reason("a test", "pytest"))
try:
    with releases.new() as draft:
        if sys.argv[2] == "numpy":
            np.save(draft.path / "vectors.npy", np.zeros(10**6))
        else:
            (draft.path / "weights").write_bytes(bytes(8 * 10**6))
        (draft.path / MANIFEST).write_text('{"release": 2}')
except DiskFull as error:
    print(error)
print(releases.numbers(), releases.promoted().release)
print(sorted(path.name for path in Path(sys.argv[1], "releases").iterdir()))
with releases.new() as draft:
    (draft.path / MANIFEST).write_text('{"release": 2}')
print(releases.numbers())
"""
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
IN_A_SMALL_DISK = 'mount -t tmpfs -o size=4m tmpfs "$1" && exec "$0" -c "$2" "$1" "$3"'
LIMITED = """
import resource, shutil
from types import SimpleNamespace
resource.setrlimit(resource.RLIMIT_FSIZE, (4 * 10**6, 4 * 10**6))
shutil.disk_usage = lambda folder: SimpleNamespace(free=0)
"""


def in_a_small_disk(folder, writer):
    return [*NAMESPACE, "sh", "-c", IN_A_SMALL_DISK, sys.executable, str(folder), WRITE, writer]


def with_limited_files(folder, writer):
    return [sys.executable, "-c", LIMITED + WRITE, str(folder), writer]


def may_mount():
    trial = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()]
    return not subprocess.run(trial, check=False, capture_output=True).returncode


@pytest.mark.parametrize("writer", ["numpy", "plain"])
@pytest.mark.parametrize(
    "command", [with_limited_files, *([in_a_small_disk] if may_mount() else [])]
)
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, command, writer):
    done = subprocess.run(command(tmp_path, writer), check=True, capture_output=True, text=True)
    error, after, files, again = done.stdout.splitlines()
    assert "is full: " in error
    assert "MB of release 2 had been written" in error
    assert "Free some space" in error
    assert after == "[1] 1"
    assert files == "['.lock', '1', 'promoted.json']"
    assert again == "[1, 2]"
