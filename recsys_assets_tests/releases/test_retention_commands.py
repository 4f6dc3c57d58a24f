import re

import pytest
from click.testing import CliRunner

from recsys_assets.releases import retention
from recsys_assets.releases.retention_commands import clean
from recsys_assets_tests.serving.fixtures import settings_in
from recsys_assets_tests.serving.retained import PARTS, Shop, age


@pytest.fixture
def settings(tmp_path):
    return settings_in(tmp_path)


@pytest.fixture
def shop(settings, tmp_path):
    shop = Shop(settings.storage_url, tmp_path / "cache")
    for part in PARTS:
        shop.train(part)
    for _ in range(3):
        shop.render()
    shop.promote(3)
    age(shop.root, 30)
    return shop


def run(settings, *arguments, **options):
    return CliRunner().invoke(clean, arguments, obj=settings, **options)


def test_a_dry_run_shows_what_would_go_what_stays_and_why(settings, shop):
    result = run(settings, "--dry-run")
    assert result.exit_code == 0, result.output
    for row in (
        r"delete +release +1 +0\.0 +neither live nor about to be",
        r"keep +release +3 +0\.0 +live",
        r"keep +artifact +dlrm/\S+ +0\.0 +current",
        r"to delete: 2 things, 0\.0 MB",
    ):
        assert re.search(row, result.output), result.output
    assert shop.releases.numbers() == [1, 2, 3]


def test_it_asks_first(settings, shop):
    assert run(settings, input="n\n").exit_code == 1
    assert shop.releases.numbers() == [1, 2, 3]
    result = run(settings, input="y\n")
    assert "Delete 2 things, 0.0 MB from file://" in result.output
    assert shop.releases.numbers() == [3]


def test_it_does_not_ask_if_told_so(settings, shop):
    result = run(settings, "--yes")
    assert result.output.endswith("deleted 2 things, 0.0 MB\n")
    assert shop.releases.numbers() == [3]
    assert "to delete: 0 things" in run(settings).output


def test_what_is_younger_stays(settings, shop):
    assert "to delete: 0 things" in run(settings, "--older-than-days", "60").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--keep", "1"), "1 is not in the range"),
        (("--partitions", "request_log"), "such as request_log=90"),
        (("--partitions", "request_log=0"), "such as request_log=90"),
        (("--partitions", "requests=3"), "the store has no table 'requests'"),
    ],
)
def test_wrong_options_are_explained(settings, shop, arguments, message):
    result = run(settings, *arguments, "--yes")
    assert result.exit_code != 0
    assert message in result.output
    assert shop.releases.numbers() == [1, 2, 3]


def test_a_promotion_meanwhile_is_an_error_that_says_what_to_do(settings, shop, monkeypatch):
    planned = retention.plan

    def overtaken(*arguments):
        made = planned(*arguments)
        shop.promote(1)
        return made

    monkeypatch.setattr(retention, "plan", overtaken)
    result = run(settings, "--yes")
    assert result.exit_code == 1
    assert "plan it again" in result.output
