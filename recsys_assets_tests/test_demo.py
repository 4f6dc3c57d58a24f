"""What `recsys demo` refuses before it begins."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from recsys_assets.cli import main
from recsys_assets.demo import run_demo
from recsys_assets.settings import InvalidSetting, load_settings
from recsys_assets.terminal.screen import Screen


def environment(tmp_path, days):
    """Settings of a live shop that has been open for some days."""
    first = datetime.now(UTC).date() - timedelta(days=days)
    return {
        "RECSYS_HOME": str(tmp_path / "home"),
        "RECSYS_SOURCE": "parquet",
        "RECSYS_SOURCE_URL": str(tmp_path / "shop"),
        "RECSYS_FIRST_DAY": first.isoformat(),
    }


def test_a_shop_that_is_too_young_is_told_so_before_anything_is_started(tmp_path):
    settings = load_settings(environment(tmp_path, days=10))

    with pytest.raises(InvalidSetting, match="leaves 3 days to train on"):
        run_demo(settings, Screen(io.StringIO()))

    assert not settings.home.exists()


def test_its_command_ends_with_the_setting_and_what_to_do(tmp_path):
    refused = CliRunner(env=environment(tmp_path, days=10)).invoke(main, ["demo"])

    assert refused.exit_code == 1
    assert "Error: RECSYS_EVALUATION_DAYS='7' cannot be used" in refused.output
    assert "begin on" in refused.output.splitlines()[-1]
