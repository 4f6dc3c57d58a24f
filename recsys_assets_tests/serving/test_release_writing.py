"""A disk that fills while a release is written: a real one, of 4 MB, in a namespace of its own."""

import subprocess
import sys

import pytest

WRITE = """
import sys
from pathlib import Path
import numpy as np
from recsys_assets.serving.release import MANIFEST, Reason, Releases
from recsys_assets.serving.release_writing import DiskFull
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
IN_A_SMALL_DISK = 'mount -t tmpfs -o size=4m tmpfs "$1" && exec "$0" -c "$2" "$1" "$3"'


@pytest.mark.parametrize("writer", ["numpy", "plain"])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, writer):
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody but root mount a disk of its own")
    command = ["sh", "-c", IN_A_SMALL_DISK, sys.executable, str(tmp_path), WRITE, writer]
    done = subprocess.run([*namespace, *command], check=True, capture_output=True, text=True)
    error, after, files, again = done.stdout.splitlines()
    assert "is full: " in error
    assert "MB of release 2 had been written" in error
    assert "Free some space" in error
    assert after == "[1] 1"
    assert files == "['.lock', '1', 'events', 'promoted.json']"
    assert again == "[1, 2]"
