"""Three days of a small shop on real services and the daemon, as `make living-shop` has a month."""

import json
import subprocess
import sys

import pytest

from recsys_assets.settings import REPOSITORY
from recsys_assets_tests.shop import write_shop

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(7200)]

# In New York, where the shop is, daylight saving begins on 2025-03-09.
START, DAYS, HISTORY = "2025-03-08", "3", "56"
RECORDED_THROUGH, RECORDED_DAYS = "2025-03-11", 70


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("living-shop")
    write_shop(folder / "recorded", items=1200, days=RECORDED_DAYS)  # some are sold once
    options = {
        "--source": "parquet",
        "--source-url": (folder / "recorded").as_uri(),
        "--source-ends": RECORDED_THROUGH,
        "--start": START,
        "--days": DAYS,
        "--history": HISTORY,
        "--folder": str(folder / "shop"),
    }
    arguments = [word for option in options.items() for word in option]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tools.living_shop", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "shop/summary.json").read_text())


def test_nobody_has_to_do_anything_and_nothing_fails(summary):
    assert (summary["days"], summary["manual_steps"], summary["failed_runs"]) == (3, 0, 0)


def test_all_that_the_days_hold_is_as_computed_from_scratch(summary):
    assert summary["different"] == 0
    assert summary["compared"] > 0


def test_products_came_and_went_and_files_were_late(summary):
    assert summary["new_items"] > 0
    assert summary["withdrawn_items"] > 0
    assert summary["late_rows"] > 0
