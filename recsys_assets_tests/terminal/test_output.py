"""What libraries print is kept apart; what a command or a real warning says is seen."""

import subprocess
import sys

import pytest

from recsys_assets.terminal.quiet import is_noise

NOISY = """
import logging, os, subprocess, sys, warnings
from pathlib import Path
from recsys_assets.terminal.command import raw_output_in, warnings_as_lines
from recsys_assets.terminal.screen import Screen

warnings.simplefilter("always")
file = Path(sys.argv[1])
with raw_output_in(file) as stream, Screen(stream) as screen, warnings_as_lines(screen.say):
    screen.say("ours")
    print("printed by a library")
    os.write(2, b"written by C\\n")
    subprocess.run(["sh", "-c", "echo said by a child; echo complained by a child >&2"])
    warnings.warn("Parameter `x` is currently in beta, and may have breaking changes in minor")
    warnings.warn("prices are negative")
    logging.getLogger("shop").warning("no stock")
    logging.getLogger("shop").info("in stock")
print("after it")
raise SystemExit("an error")
"""


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    raw = tmp_path_factory.mktemp("raw") / "log" / "demo.log"
    done = subprocess.run([sys.executable, "-c", NOISY, str(raw)], capture_output=True, text=True)
    return done, raw.read_text()


def test_only_lines_of_ours_are_seen(noisy):
    done, _ = noisy
    first, warning, record, after = done.stdout.splitlines()

    assert first.endswith("] ours")
    assert "warning: UserWarning: prices are negative" in warning
    assert record.endswith("] warning: shop: no stock")
    assert after == "after it"
    assert done.stderr == "an error\n"


def test_raw_output_is_in_the_file(noisy):
    _, raw = noisy

    assert sorted(raw.splitlines()) == [
        "complained by a child",
        "printed by a library",
        "said by a child",
        "written by C",
    ]


def test_importing_the_graph_shows_no_warning_of_dagster():
    code = "import recsys_assets.definitions"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


IBIS = "/site-packages/ibis/backends/duckdb/__init__.py"
BY_DUCKDB = "fetch_arrow_table() is deprecated, use to_arrow_table() instead."


def test_noise_is_what_a_library_says_of_itself():
    assert is_noise(BY_DUCKDB, IBIS)


@pytest.mark.parametrize(
    ("message", "file"),
    [
        (BY_DUCKDB, "/shop/recsys_assets/features/parity.py"),
        ("to_pandas() is deprecated", IBIS),
        ("the shop is in beta", "/shop/recsys_assets/cli.py"),
    ],
)
def test_other_warnings_are_not_noise(message, file):
    assert not is_noise(message, file)
