"""Releases by hand, as a person types it, against a real Triton and a real Dagster instance."""

import os
import sys

import pyarrow as pa
import pytest
from click.testing import CliRunner

from recsys_assets.cli import main
from recsys_assets.defs.runs.instance import open_instance
from recsys_assets.defs.runs.lineage_events import LIVE_RELEASE
from recsys_assets.services import deployment
from recsys_assets.storage import Store
from recsys_assets.storage.s3 import S3Limits, limits, use_limits
from recsys_assets.triton.client import recommend
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.serving.fixtures import settings_in
from recsys_assets_tests.serving.tiny_release import AT, publish_tiny_release

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    settings = settings_in(tmp_path_factory.mktemp("home"))
    Store(settings.storage_url).table("users").write(pa.table({"user_id": ["ann", "bob"]}))
    try:
        deployment.up(settings)
        yield settings
    finally:
        deployment.down(settings)


@pytest.fixture
def recsys(settings):
    """Runs the command line in the deployment's environment."""
    environment = {
        "RECSYS_HOME": str(settings.home),
        "RECSYS_ONLINE_STORE_URL": settings.online_store_url,
        "RECSYS_TRITON_HTTP": settings.triton_http,
        "RECSYS_TRITON_GRPC": settings.triton_grpc,
        "RECSYS_TRITON_METRICS": settings.triton_metrics,
    }
    return lambda *words: CliRunner(env=environment).invoke(main, words)


def lineage(settings):
    """Release, cause and author of every materialization of the live release, oldest first."""
    with open_instance(settings) as instance:
        records = instance.fetch_materializations(LIVE_RELEASE, limit=100, ascending=True).records
    found = [record.asset_materialization.metadata for record in records]
    return [tuple(m[name].value for name in ("release", "cause", "by")) for m in found]


def test_releases_are_promoted_and_taken_back_by_hand(recsys, settings):
    releases = deployment.releases(settings)
    for _ in range(2):
        releases.approve(publish_tiny_release(releases))
    assert recsys("promote", "1", "--reason", "opening day", "--by", "ann").exit_code == 0
    forward = recsys("promote", "2", "--reason", "the new range is in", "--by", "ann")
    assert forward.output == "release 2 is live; a rollback goes back to 1\n"
    back = recsys("rollback", "--reason", "nothing but milk", "--by", "bob")
    assert back.output == "release 1 is live; a rollback goes back to none\n"
    assert recommend(settings, "ann", AT).release == 1

    refused = recsys("promote", "2", "--reason", "again")
    assert refused.exit_code == 1
    assert "release 2 has been rejected: rolled back: nothing but milk" in refused.output
    assert recsys("promote", "2", "--reason", "milk is fine", "--force").exit_code == 0

    shown = recsys("releases").output
    assert "*  2" in shown
    assert "by bob: nothing but milk" in shown
    assert [change[:2] for change in lineage(settings)] == [
        (1, "opening day"),
        (2, "the new range is in"),
        (1, "nothing but milk"),
        (2, "milk is fine"),
    ]
    assert lineage(settings)[2][2] == "bob"


def test_a_change_by_hand_needs_a_reason(recsys):
    for command in (["promote", "1"], ["rollback"]):
        asked = recsys(*command)
        assert asked.exit_code == 2
        assert "Missing option '--reason'" in asked.output


def test_a_release_that_does_not_exist_is_named(recsys):
    asked = recsys("promote", "99", "--reason", "why not")
    assert asked.exit_code == 1
    assert "release 99 does not exist" in asked.output


def test_a_store_that_does_not_answer_is_named_in_one_line(tmp_path):
    before = limits()
    use_limits(S3Limits(attempts=1, connect_seconds=0.5))
    environment = {
        "RECSYS_HOME": str(tmp_path),
        "RECSYS_STORAGE": "s3://shop/recsys",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    try:
        said = CliRunner(env=environment).invoke(main, ["releases"])
    finally:
        use_limits(before)
    assert said.exit_code == 1
    assert said.output.startswith("Error: s3://shop/recsys/releases")
    assert "AWS_ENDPOINT_URL" in said.output


def test_the_ui_is_started_wherever_the_path_leads(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("recsys_assets.cli.find_spec", lambda _: True)
    monkeypatch.setattr(os, "execv", lambda program, command: started.append((program, command)))

    result = CliRunner().invoke(
        main, ["ui", "--port", "3401"], env={"RECSYS_HOME": str(tmp_path), "PATH": ""}
    )

    assert result.exit_code == 0, result.output
    [(program, command)] = started
    assert program == sys.executable
    assert command[:4] == [sys.executable, "-m", "dagster", "dev"]
    assert command[-2:] == ["-p", "3401"]
