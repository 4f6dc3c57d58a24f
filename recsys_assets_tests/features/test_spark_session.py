import stat

import pytest

from recsys_assets.features import spark_session
from recsys_assets.features.spark_session import JavaMissing, require_java


def fake_java(folder, script):
    path = folder / "java"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_no_java_names_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(JavaMissing, match="apt-get install -y openjdk-17-jre-headless"):
        require_java()


def test_a_java_without_the_vector_module(tmp_path):
    java = fake_java(tmp_path, "echo java.base@25")

    with pytest.raises(JavaMissing, match=r"jdk\.incubator\.vector"):
        require_java(java)


def test_a_java_that_does_not_run(tmp_path):
    with pytest.raises(JavaMissing, match="does not run"):
        require_java(fake_java(tmp_path, "exit 3"))


def test_a_java_that_will_do(tmp_path):
    java = fake_java(tmp_path, f"echo {spark_session._MODULE}")

    assert require_java(java) == java
