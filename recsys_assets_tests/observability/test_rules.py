"""The rules name metrics that exist, explain themselves, and are tested each way."""

import re
from dataclasses import dataclass

import pytest
import yaml

from recsys_assets_tests.observability.watching import (
    FOLDER,
    SCENARIOS,
    alerts,
    metric_of,
    rules,
    run,
    told_metrics,
)
from tools.dashboards.names import named, recorded, rule_files, told

ALWAYS = "Watchdog"  # fires for ever: a dead man's switch
TEAMS = ("sre", "ml-platform")
_EXPECTED = re.compile(r'alertname="(\w+)"')
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class Scenario:
    """What a test file feeds the rules with, and which alerts it expects."""

    name: str
    files: frozenset[str]
    metrics: frozenset[str]
    fires: frozenset[str]


def seconds(duration):
    """Of a duration of Prometheus, such as 1h30m."""
    return sum(int(n) * _SECONDS[unit] for n, unit in re.findall(r"(\d+)([smhd])", duration))


def groups_of(file):
    return [group["name"] for group in yaml.safe_load(file.read_text())["groups"]]


def scenarios():
    found = []
    for file in SCENARIOS:
        content = yaml.safe_load(file.read_text())
        names = [name.rpartition("/")[2] for name in content["rule_files"]]
        files = frozenset(names)
        # Else promtool evaluates the groups of several files in an order of chance, and an
        # alert may see what was recorded an interval before.
        if len(names) > 1:
            assert content["group_eval_order"] == [
                group for name in names for group in groups_of(FOLDER / "rules" / name)
            ], file.name
        for test in content["tests"]:
            asked = test["promql_expr_test"]
            series = [one["series"] for one in test.get("input_series", ())]
            found.append(
                Scenario(
                    name=f"{file.stem}: {test['name']}",
                    files=files,
                    metrics=frozenset(map(metric_of, series)),
                    fires=frozenset(_EXPECTED.findall(str(asked))),
                )
            )
            # Else promtool shows what the rules said some time before.
            step = seconds(content["evaluation_interval"])
            assert all(seconds(one["eval_time"]) % step == 0 for one in asked), test["name"]
            # A scenario shows all alerts that fire, so that none is overlooked.
            expected = "count by (alertname) (ALERTS{alertstate=" + '"firing"})'
            records = "recsys:queue_seconds:mean1m"
            assert [one["expr"] for one in asked] in ([expected], [records])
    return found


ALL = scenarios()
FILE_OF = {
    rule["alert"]: file.name for file in rule_files() for rule in rules(file) if "alert" in rule
}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_metric_is_told_or_recorded(rule):
    assert named(rule["expr"]) <= told() | recorded()
    assert named(rule["expr"]) or rule["alert"] == ALWAYS


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_explains_itself(alert):
    severities = ("none",) if alert["alert"] == ALWAYS else ("warning", "critical")
    assert alert["labels"]["severity"] in severities
    assert alert["labels"]["team"] in TEAMS
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    anchor = alert["alert"].lower()
    assert alert["annotations"]["runbook"] == f"observability/RUNBOOK.md#{anchor}"


def test_names_of_alerts_are_their_own():
    assert len(FILE_OF) == len(alerts())


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_fires_in_a_scenario_and_is_silent_in_another_of_the_same_metrics(alert):
    name = alert["alert"]
    judged = [one for one in ALL if FILE_OF[name] in one.files]
    behind = told_metrics(alert["expr"])
    firing = [one for one in judged if name in one.fires]
    assert firing
    if name == ALWAYS:
        assert len(firing) == len(judged)
        return
    silent = [one for one in judged if name not in one.fires and behind & one.metrics]
    assert any(one.metrics & behind <= quiet.metrics for one in firing for quiet in silent)


def test_scenarios_expect_no_alert_that_is_gone():
    assert {name for one in ALL for name in one.fires} == set(FILE_OF)


@pytest.mark.integration
@pytest.mark.parametrize("file", rule_files(), ids=lambda file: file.stem)
def test_promtool_accepts_the_rules(file):
    run("promtool", "check", "rules", "--lint=all", file)


@pytest.mark.integration
@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
def test_rules_fire_when_they_should_and_only_then(file):
    run("promtool", "test", "rules", file)
