"""A real Alertmanager: what is told to whom in which words, and what is kept from them."""

import json
import re
import subprocess
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.observability.test_alertmanager import COMMITTED, CONFIG, SECRETS
from recsys_assets_tests.observability.watching import alerts, tool
from recsys_assets_tests.waiting import LIMIT, until

pytestmark = pytest.mark.integration

SECONDS = 20.0
RULES = {alert["alert"]: alert for alert in alerts()}
NAMES = ("on-call-key", "sre-chat-url", "ml-platform-chat-url", "dead-mans-switch-url")


class Receivers(ThreadingHTTPServer):
    """PagerDuty, both chats and the dead man's switch: what has been posted to each path."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Posted)
        self.told = {}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def wait_for(self, path):
        """The first message there."""
        return until(lambda: self.told.get(path), f"a message to {path}")[0]


class Posted(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.setdefault(self.path, []).append(json.loads(body))
        self.send_response(202)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def receivers():
    server = Receivers()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def hurried(route):
    """The same routes without their waits."""
    quick = dict.fromkeys(("group_wait", "group_interval"), "200ms")
    return {**route, **quick, "routes": [hurried(each) for each in route.get("routes", [])]}


@pytest.fixture
def alertmanager(receivers, tmp_path):
    """Its URL; the configuration is the committed one but for addresses and waits."""
    for name in NAMES:
        (tmp_path / name).write_text(f"{receivers.url}/{name}")
    text = COMMITTED.read_text().replace(
        f"url_file: {SECRETS}dead-mans-switch-url", f"url: {receivers.url}/dead-mans-switch-url"
    )
    config = yaml.safe_load(text.replace(SECRETS, f"{tmp_path}/"))
    config["global"]["pagerduty_url"] = f"{receivers.url}/on-call-key"
    config["route"] = hurried(config["route"])
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        tool("prometheus-alertmanager"),
        f"--config.file={tmp_path}/alertmanager.yml",
        f"--storage.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:

        def is_ready():
            assert process.poll() is None, (tmp_path / "log").read_text()
            return answers(f"{url}/-/ready")

        until(is_ready, "Alertmanager")
        yield url
    finally:
        process.terminate()
        process.wait()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=LIMIT):  # noqa: S310
            return True
    except urllib.error.URLError:
        return False


def fire(alertmanager, *names, **labels):
    """Fires alerts of the committed rules, with their labels and the words of their templates."""
    body = [
        {
            "labels": {"alertname": name, **RULES[name]["labels"], **labels},
            "annotations": RULES[name]["annotations"],
        }
        for name in names
    ]
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{alertmanager}/api/v2/alerts",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=LIMIT).close()  # noqa: S310


def states(alertmanager):
    """Whether each alert is `active` or `suppressed`."""
    with urllib.request.urlopen(f"{alertmanager}/api/v2/alerts", timeout=LIMIT) as answer:  # noqa: S310
        return {each["labels"]["alertname"]: each["status"]["state"] for each in json.load(answer)}


def of(severity, team):
    """The name of an alert with these labels."""
    wanted = {"severity": severity, "team": team}
    return next(n for n, rule in RULES.items() if wanted.items() <= rule["labels"].items())


@pytest.mark.parametrize("team", ["sre", "ml-platform"])
def test_a_critical_alert_wakes_somebody_and_is_told_to_its_team(alertmanager, receivers, team):
    name = of("critical", team)
    fire(alertmanager, name)
    woken, told = receivers.wait_for("/on-call-key"), receivers.wait_for(f"/{team}-chat-url")
    title = f"{name}: {RULES[name]['annotations']['summary']}"
    assert woken["event_action"] == "trigger"
    assert woken["payload"]["summary"] == title
    (message,) = told["attachments"]
    assert message["title"] == title
    for part in ("description", "runbook"):
        assert RULES[name]["annotations"][part] in message["text"]


def test_the_watchdog_arrives(alertmanager, receivers):
    fire(alertmanager, "Watchdog")
    assert receivers.wait_for("/dead-mans-switch-url")["alerts"][0]["status"] == "firing"
    assert set(receivers.told) == {"/dead-mans-switch-url"}


@pytest.mark.parametrize("rule", CONFIG["inhibit_rules"], ids=lambda rule: rule["source_matchers"])
def test_a_cause_keeps_back_what_follows_from_it(alertmanager, receivers, rule):
    causes, effects = (
        [name for name in RULES if re.fullmatch(re.search(r'"(.*)"', matcher)[1], name)]
        for matcher in (rule["source_matchers"][0], rule["target_matchers"][0])
    )
    same = dict.fromkeys(rule.get("equal", ()), "one")
    also = dict(re.findall(r'(\w+) = "(.*)"', " ".join(rule["target_matchers"][1:])))
    effects = [name for name in effects if name not in causes]
    fire(alertmanager, causes[0], **same)
    fire(alertmanager, *effects, **same, **also)
    found = states(alertmanager)
    assert found.pop(causes[0]) == "active"
    assert found == dict.fromkeys(effects, "suppressed")
    receivers.wait_for(f"/{RULES[causes[0]]['labels']['team']}-chat-url")
    assert not any(name in json.dumps(receivers.told) for name in effects)


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        # One server, or one workload, of many explains nothing of the others.
        (("RecsysProbeFails", {"pod": "a"}), ("RecsysErrorBudgetBurnsFast", {})),
        (("RecsysTritonDown", {"pod": "a"}), ("RecsysLatencyFarOverBudget", {})),
        (("RecsysWorkloadDown", {"job": "grafana"}), ("RecsysServiceDown", {"job": "recommend"})),
        # What the online store is not asked for.
        (("RecsysValkeyDown", {}), ("RecsysErrorBudgetBurnsFast", {})),
        (("RecsysValkeyDown", {}), ("RecsysHttpErrorBudgetBurnsFast", {"service": "recommend"})),
        (
            ("RecsysNoServerAnswers", {}),
            ("RecsysHttpErrorBudgetBurnsFast", {"service": "events"}),
        ),
    ],
)
def test_what_explains_nothing_keeps_nothing_back(alertmanager, cause, effect):
    for name, labels in (cause, effect):
        fire(alertmanager, name, namespace="recsys", **labels)
    assert states(alertmanager) == {cause[0]: "active", effect[0]: "active"}
