"""The rules name metrics that exist, explain themselves, and are tested each way."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recsys_assets.observability.names import named, recorded, told
from recsys_assets.settings import REPOSITORY

FOLDER = REPOSITORY / "observability"
RULES = FOLDER / "rules" / "serving.yml"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
RUNBOOK = FOLDER / "RUNBOOK.md"


def rules():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def scenarios():
    """Alerts that fire in each scenario, and what is expected of them."""
    tests = [test for file in TESTS for test in yaml.safe_load(file.read_text())["tests"]]
    return [set(re.findall(r'alertname="(\w+)"', str(test["promql_expr_test"]))) for test in tests]


def promtool():
    found = shutil.which("promtool", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")
    assert found, "promtool is missing: run `make setup`, or `apt-get install -y prometheus`"
    return found


def run_promtool(*arguments):
    done = subprocess.run(
        [promtool(), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_metric_is_told_or_recorded(rule):
    assert named(rule["expr"]) <= told() | recorded(RULES)
    assert named(rule["expr"]) or "up{" in rule["expr"]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_explains_itself(alert):
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    anchor = alert["alert"].lower()
    assert alert["annotations"]["runbook"] == f"observability/RUNBOOK.md#{anchor}"
    assert f"\n## {alert['alert']}\n" in RUNBOOK.read_text()


def test_the_runbook_has_no_section_of_an_alert_that_is_gone():
    sections = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sections == [alert["alert"] for alert in alerts()]


def test_each_alert_fires_in_a_scenario_and_is_silent_in_others():
    firing = [alert for scenario in scenarios() for alert in scenario]
    assert set(firing) == {alert["alert"] for alert in alerts()}
    assert sum(not scenario for scenario in scenarios()) >= len(TESTS)


@pytest.mark.integration
def test_promtool_accepts_the_configuration_and_the_rules():
    run_promtool("check", "config", FOLDER / "prometheus.yml")
    run_promtool("check", "rules", RULES)


@pytest.mark.integration
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_rules_fire_when_they_should_and_only_then(file):
    run_promtool("test", "rules", file)
