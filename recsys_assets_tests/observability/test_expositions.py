"""Rules over what real processes tell in the states that matter: see `record_expositions.py`."""

from dataclasses import dataclass, field

import pytest
import yaml

from recsys_assets_tests.observability.record_expositions import FOLDER, samples
from recsys_assets_tests.observability.watching import run
from tools.dashboards.names import rule_files

pytestmark = pytest.mark.integration

_SCRAPES = 100  # more than eight minutes, every 5 s
_COUNTED = ("_total", "_success", "_failure", "_duration_us")
_SECOND = "next release answers"


@dataclass(frozen=True)
class Case:
    """The states of pods, of the canary pod and of the exporter, and what must fire."""

    pods: tuple[str, ...]
    canary: str
    exporter: str
    fires: set[str] = field(default_factory=set)


CASES = {
    "nothing is promoted yet": Case(("no release yet",), "answers", "no release yet"),
    "the first release loads": Case(("first release loads",), "answers", "first release loads"),
    "all is well": Case(("answers",) * 3, "answers", "answers"),
    "a pod joins": Case(("first release loads", *["answers"] * 5), "answers", "answers"),
    "a candidate loads": Case(("answers",) * 3, "next release loads", "answers"),
    "the next release loads": Case(("next release loads",) * 3, _SECOND, "next release loads"),
    "the canary is down": Case((_SECOND,) * 3, "server is down", _SECOND, {"RecsysTritonDown"}),
    "the online store is down": Case(
        ("online store is down",) * 3,
        "online store is down",
        "online store is down",
        {"RecsysValkeyDown", "RecsysDegraded"},
    ),
    "the record is damaged": Case(
        ("record is damaged",) * 3,
        _SECOND,
        "record is damaged",
        {"RecsysAgentLooksFail", "RecsysStoreUnreadable"},
    ),
    "one server is down": Case(
        ("server is down", *[_SECOND] * 5),
        _SECOND,
        _SECOND,
        {"RecsysTritonDown", "RecsysProbeFails"},
    ),
    "all servers are down": Case(
        ("server is down",) * 3,
        _SECOND,
        "server is down",
        {"RecsysTritonDown", "RecsysProbeFails", "RecsysNoServerAnswers"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_fires_is_what_is_wrong(name, tmp_path):
    case = CASES[name]
    series = list(_series(case.exporter, "exporter", "exporter"))
    for number, state in enumerate(case.pods):
        for job in ("agent", "triton"):
            series += _series(state, job, f"pod-{number}")
    for job in ("agent", "triton"):
        series += _series(case.canary, job, "canary", suffix="-canary")
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(case.fires)]
    scenario = {
        "rule_files": [str(file) for file in rule_files()],
        "evaluation_interval": "5s",
        "tests": [
            {
                "name": name,
                "interval": "5s",
                "input_series": series,
                "promql_expr_test": [
                    {
                        "expr": 'group by (alertname) (ALERTS{alertstate="firing", '
                        'alertname!~"Watchdog|RecsysNotScraped"})',
                        "eval_time": "8m",
                        "exp_samples": expected,
                    }
                ],
            }
        ],
    }
    file = tmp_path / "scenario.yml"
    file.write_text(yaml.safe_dump(scenario))
    run("promtool", "test", "rules", file)


def _series(state, job, pod, suffix=""):
    """What Prometheus keeps of a process that stays in a state: counters grow as they did."""
    labels = {"job": job + suffix, "instance": f"{pod}:{job}", "pod": pod, "namespace": "recsys"}
    before, after = (samples(FOLDER / state / f"{job}.{e}") for e in ("prom", "later.prom"))
    yield {"series": _named("up", labels), "values": f"{int(bool(after))}+0x{_SCRAPES}"}
    for (name, own), value in after.items():
        grown = value - before.get((name, own), value) if name.endswith(_COUNTED) else 0
        yield {
            "series": _named(name, {**dict(own), **labels}),
            "values": f"{value}+{grown}x{_SCRAPES}",
        }


def _named(name, labels):
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
