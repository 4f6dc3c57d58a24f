"""The committed configuration, and the tools that check it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from recsys_assets.settings import REPOSITORY
from tools.dashboards.names import named, rule_files
from tools.setup.debian import PROGRAMS

FOLDER = REPOSITORY / "observability"
SCENARIOS = sorted((FOLDER / "tests").glob("*.yml"))


def rules(file: Path | None = None) -> list[dict[str, Any]]:
    """All rules, or those of one file."""
    files = [file] if file else rule_files()
    groups = [group for one in files for group in yaml.safe_load(one.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """All alerts in the order of their files."""
    return [rule for rule in rules() if "alert" in rule]


def tool(name: str) -> str:
    """Path of promtool, prometheus, amtool, prometheus-alertmanager or haproxy."""
    folders = [Path(sys.executable).parent, "/usr/bin", "/usr/local/bin", "/usr/sbin"]
    found = shutil.which(name, path=":".join(map(str, folders)))
    (package,) = (package for package, names in PROGRAMS.items() if name in names)
    remedy = f"`apt-get install -y {package}`"
    assert found, f"{name} is missing: run `make setup-test`, or {remedy}"
    return found


def run(name: str, *arguments: object) -> str:
    """Runs a tool that must succeed; returns what it says."""
    command = [tool(name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def told_metrics(expression: str) -> set[str]:
    """Metrics behind an expression, those included that what it names was recorded from."""
    by_record: dict[str, set[str]] = {}
    for rule in rules():
        if "record" in rule:
            by_record.setdefault(rule["record"], set()).update(named(rule["expr"]))
    found = named(expression)
    while recorded := {name for name in found if name in by_record}:
        found = found - recorded
        found = found.union(*(by_record[name] for name in recorded))
    return found


def metric_of(series: str) -> str:
    """Name of the metric of a series of a scenario."""
    return re.split(r"[{\s]", series)[0]
