"""Who is told of what: routes by severity and team, what silences what, and secrets from files."""

import re
from pathlib import Path

import pytest
import yaml

from recsys_assets import storefront
from recsys_assets_tests.observability.watching import FOLDER, alerts, run

COMMITTED = FOLDER / "alertmanager.yml"
SECRETS = "/etc/alertmanager/secrets/"
# The services of HTTP, as they call themselves in their metrics.
SERVICES = {
    name
    for module in Path(storefront.__file__).parent.glob("*_service.py")
    for name in re.findall(r'HttpMetrics\("(.*?)"', module.read_text())
}
CONFIG = yaml.safe_load(COMMITTED.read_text())


def test_secrets_come_from_mounted_files():
    for receiver in CONFIG["receivers"]:
        for kind in receiver.keys() - {"name"}:
            for one in receiver[kind]:
                files = {value for name, value in one.items() if name.endswith("_file")}
                assert len(files) == 1
                assert files.pop().startswith(SECRETS)
                assert not {"url", "api_url", "routing_key"} & one.keys()


def alternatives(pattern):
    """`A(B|C)` and `A|B` as the patterns that they are made of."""
    begin, inside, end = re.fullmatch(r"(\w*)\((.*)\)(\S*)|.*", pattern).groups()
    parts = (pattern if inside is None else inside).split("|")
    return [f"{begin or ''}{part}{end or ''}" for part in parts]


@pytest.mark.parametrize("rule", CONFIG["inhibit_rules"], ids=lambda rule: rule["source_matchers"])
def test_rules_of_silence_name_alerts_that_exist(rule):
    names = [alert["alert"] for alert in alerts()]
    for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
        if matcher.startswith("service"):
            assert re.search(r'"(.*)"', matcher)[1] in SERVICES
        if not matcher.startswith("alertname"):
            continue
        for part in alternatives(re.search(r'"(.*)"', matcher)[1]):
            assert any(re.fullmatch(part, name) for name in names), part


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The committed file as the Alertmanager of Debian 12 takes it: it knows no `url_file` yet."""
    text = COMMITTED.read_text()
    assert text.count("- url_file:") == 1
    folder = tmp_path_factory.mktemp("alertmanager")
    for name in ("on-call-key", "sre-chat-url", "ml-platform-chat-url", "dead-mans-switch-url"):
        (folder / name).write_text("http://127.0.0.1:9/")
    text = text.replace(f"url_file: {SECRETS}dead-mans-switch-url", "url: http://127.0.0.1:9/")
    file = folder / "alertmanager.yml"
    file.write_text(text.replace(SECRETS, f"{folder}/"))
    return file


@pytest.mark.integration
def test_amtool_accepts_it(config):
    run("amtool", "check-config", config)


def receivers(config, **labels):
    asked = [f"{name}={value}" for name, value in labels.items()]
    return run("amtool", "config", "routes", "test", f"--config.file={config}", *asked).strip()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("severity", "team", "told"),
    [
        ("critical", "sre", "on-call,sre-chat"),
        ("critical", "ml-platform", "on-call,ml-platform-chat"),
        ("warning", "sre", "sre-chat"),
        ("warning", "ml-platform", "ml-platform-chat"),
    ],
)
def test_severity_and_team_say_who_is_told(config, severity, team, told):
    assert receivers(config, alertname="RecsysAny", severity=severity, team=team) == told


@pytest.mark.integration
def test_the_watchdog_goes_to_the_dead_mans_switch_alone(config):
    labels = {"alertname": "Watchdog", "severity": "none", "team": "sre"}
    assert receivers(config, **labels) == "dead-mans-switch"


@pytest.mark.integration
def test_an_alert_that_nobody_has_thought_of_is_told(config):
    assert receivers(config, alertname="Strange") == "sre-chat"
