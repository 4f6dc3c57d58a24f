"""Whoever is woken finds a section with the commands to type, on a laptop and on a cluster."""

import re

import click
import pytest

from recsys_assets.exporter.commands import COMMANDS as EXPORTER
from recsys_assets.storefront.commands import COMMANDS as STOREFRONT
from recsys_assets_tests.observability.watching import FOLDER, alerts, rule_files, rules

RUNBOOK = (FOLDER / "RUNBOOK.md").read_text()
_SECTION = re.compile(r"^### (\w+)\n(.*?)(?=^### |^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
SECTIONS = dict(_SECTION.findall(RUNBOOK))
ON_CLUSTERS_ONLY = {
    rule["alert"]
    for file in rule_files()
    if file.name.startswith("kubernetes-")
    for rule in rules(file)
}


def commands(section):
    return "\n".join(_BLOCK.findall(SECTIONS[section]))


def test_there_is_a_section_for_each_alert_in_the_order_of_the_rules_and_for_nothing_else():
    written = re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)
    assert sorted(written) == sorted(alert["alert"] for alert in alerts())
    assert len(written) == len(set(written))


@pytest.mark.parametrize("alert", [alert["alert"] for alert in alerts()])
def test_every_section_has_commands_for_kubernetes_and_where_it_can_happen_for_a_laptop(alert):
    assert "kubectl -n recsys " in commands(alert)
    if alert not in ON_CLUSTERS_ONLY:
        lines = [line for line in commands(alert).splitlines() if line.strip()]
        assert any(not line.startswith(("kubectl", "#", " ")) for line in lines)


def test_commands_of_this_project_exist():
    from recsys_assets.cli import main

    known = {*main.commands, *(command.name for command in (*STOREFRONT, *EXPORTER))}
    typed = set(re.findall(r"\brecsys ([a-z][a-z-]+)\b(?! *[:=])", _typed()))
    assert typed
    assert typed <= known


def test_options_of_those_commands_exist():
    from recsys_assets.cli import main

    commands_by_name: dict[str, click.Command] = dict(main.commands)
    commands_by_name |= {command.name: command for command in (*STOREFRONT, *EXPORTER)}
    for name, rest in re.findall(r"\brecsys ([a-z][a-z-]+)([^\n|&;]*)", _typed()):
        options = {word for one in commands_by_name[name].params for word in one.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, f"recsys {name} {rest}"


def test_workloads_that_kubectl_is_told_are_those_of_the_cluster():
    named = set(re.findall(r"(?:deployment|statefulset)/([a-z-]+)", _typed()))
    assert named <= {
        *("triton", "triton-canary", "recommend", "events", "events-landing", "exporter"),
        *("valkey", "prometheus", "alertmanager", "grafana"),
        *("dagster-daemon", "dagster-dagster-webserver", "dagster-dagster-user-deployments-recsys"),
    }


def _typed():
    """All that is to be typed, without prompts for a namespace, which is named recsys too."""
    blocks = "\n".join(_BLOCK.findall(RUNBOOK))
    return re.sub(r"-n recsys\b", "", blocks).replace("\\\n", " ")
