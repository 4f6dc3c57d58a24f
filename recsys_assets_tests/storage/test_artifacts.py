import os
import signal
import subprocess
import sys

import pytest

from recsys_assets.storage import MissingArtifact, Store


@pytest.fixture
def artifact(tmp_path):
    return Store(f"file://{tmp_path}").artifact("model")


def publish(artifact, content):
    with artifact.new_version() as draft:
        (draft.path / "weights").write_text(content)
    return draft.version


def test_the_last_published_version_is_current(artifact):
    first = publish(artifact, "1")
    second = publish(artifact, "2")

    assert artifact.current() == second
    assert set(artifact.versions()) == {first, second}
    assert (artifact.fetch() / "weights").read_text() == "2"
    assert (artifact.fetch(first) / "weights").read_text() == "1"


def test_an_error_while_writing_leaves_the_last_version(artifact):
    good = publish(artifact, "good")

    with pytest.raises(RuntimeError, match="diverged"), artifact.new_version() as draft:
        (draft.path / "weights").write_text("nan")
        raise RuntimeError("diverged")

    assert artifact.versions() == [good]
    assert artifact.current() == good


def test_what_was_never_published_is_named(artifact):
    with pytest.raises(MissingArtifact, match="artifact 'model' does not exist"):
        artifact.fetch()
    publish(artifact, "1")
    with pytest.raises(MissingArtifact, match="version 7 of artifact 'model'"):
        artifact.fetch("7")


def test_a_killed_writer_leaves_the_last_version(artifact, tmp_path):
    good = publish(artifact, "good")
    script = (
        "import sys, time\n"
        "from recsys_assets.storage import Store\n"
        "with Store(sys.argv[1]).artifact('model').new_version() as draft:\n"
        "    (draft.path / 'weights').write_text('half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, f"file://{tmp_path}"], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()

    assert artifact.versions() == [good]
    assert (artifact.fetch() / "weights").read_text() == "good"


def test_versions_sort_by_age(artifact):
    published = [publish(artifact, content) for content in "123"]

    assert artifact.versions() == published
