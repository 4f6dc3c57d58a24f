"""Tables of the reference say what the code does."""

import re

import pytest

from recsys_assets.settings import load_settings
from recsys_assets_tests.eks_environment import EKS
from tools.docs import tables
from tools.docs.tables import ROOT, TABLES
from tools.docs.variables import ON_EKS, VARIABLES, Variable

READ = re.compile(r'"(RECSYS_[A-Z][A-Z_]*)"')
GIVEN_WITH_ITS_FILE = {"RECSYS_API_TOKEN_FILE"}
WITH_DEFAULT = [one for one in (*VARIABLES, *ON_EKS) if one.default is not None]


def test_every_variable_that_is_read_is_described_once_and_no_other():
    folder = ROOT / "recsys_assets" / "settings"
    read = {name for file in folder.glob("*.py") for name in READ.findall(file.read_text())}
    described = [one.name for one in (*VARIABLES, *ON_EKS)]
    assert sorted(described) == sorted(read - GIVEN_WITH_ITS_FILE)


@pytest.mark.parametrize("variable", WITH_DEFAULT, ids=lambda one: one.name)
def test_a_default_is_what_leaving_the_variable_out_is(variable: Variable):
    environ = {**EKS, "RECSYS_LAST_DAY": "2026-01-31"} if variable in ON_EKS else {}
    given = load_settings({**environ, variable.name: str(variable.default)})
    assert given == load_settings(environ)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_rows_of_one_width(name: str):
    lines = [line for line in TABLES[name]().splitlines() if line.startswith("|")]
    assert len(lines) > 2
    starts = [i for i, line in enumerate(lines) if line.startswith("| ---")]
    assert starts
    for first, last in zip(starts, [*(i - 1 for i in starts[1:]), len(lines)], strict=True):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines[first - 1 : last]}
        assert len(widths) == 1


def test_a_bar_in_a_cell_is_text():
    assert tables.table(["a"], [["x | y\nz"]]).splitlines()[2] == "| x \\| y z |"


def test_tables_hold_what_is_declared():
    assert "| `popularity_7d` | int64 | Purchased lines, last 7 days |" in TABLES["features"]()
    assert "| `daily_loop` |" in TABLES["jobs"]()
    assert "| `popularity_discount` | `0.1` | times ln(1 + sales" in TABLES["serving parameters"]()
    assert "| `make docs` |" in TABLES["make targets"]()
    assert "| `RECSYS_HOME` | `var/` of the repository |" in TABLES["settings"]()
