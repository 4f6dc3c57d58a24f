"""5 ms of queue are the whole target: the rule is in seconds, and so is the autoscaler's 5m."""

import subprocess
from decimal import Decimal
from pathlib import Path

import yaml

from recsys_assets.settings import REPOSITORY
from recsys_assets_tests.manifests.manifests import rendered
from tools.manifests.render import K8S

RULE = "recsys:queue_seconds:mean1m"
METRIC = "recsys_queue_seconds"


def target() -> Decimal:
    """The target of Triton's autoscaler, as Kubernetes understands it."""
    from kubernetes.utils.quantity import parse_quantity

    scalers = {
        each["metadata"]["name"]: each for each in rendered().of_kind("HorizontalPodAutoscaler")
    }
    (metric,) = scalers["triton"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == METRIC
    value: Decimal = parse_quantity(metric["pods"]["target"]["averageValue"])
    return value


def recorded(wait_microseconds: int, tmp_path: Path) -> bool:
    """Whether promtool finds the target's value, if each request waits so long."""
    requests = 3000  # in 15 s
    series = '{model="pipeline", namespace="recsys", pod="a"}'
    test = {
        "rule_files": [str(REPOSITORY / "observability" / "rules" / "recorded.yml")],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [
                    {
                        "series": f"nv_inference_queue_duration_us{series}",
                        "values": f"0+{wait_microseconds * requests}x8",
                    },
                    {
                        "series": f"nv_inference_request_success{series}",
                        "values": f"0+{requests}x8",
                    },
                ],
                "promql_expr_test": [
                    {
                        "expr": RULE,
                        "eval_time": "2m",
                        "exp_samples": [
                            {
                                "labels": f'{RULE}{{namespace="recsys", pod="a"}}',
                                "value": float(target()),
                            }
                        ],
                    }
                ],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, check=False
    )
    return done.returncode == 0


def test_the_target_is_five_milliseconds_in_seconds() -> None:
    assert target() == Decimal("0.005")


def test_requests_that_wait_5_ms_are_recorded_as_the_whole_target(tmp_path: Path) -> None:
    assert recorded(5_000, tmp_path)


def test_a_wait_a_thousand_times_shorter_is_not(tmp_path: Path) -> None:
    assert not recorded(5, tmp_path)


def test_the_adapter_hands_on_that_rule_by_namespace_and_pod() -> None:
    values = yaml.safe_load((K8S / "prometheus-adapter" / "values.yaml").read_text())
    (rule,) = values["rules"]["custom"]
    assert f'__name__="{RULE}"' in rule["seriesQuery"]
    assert rule["name"]["as"] == METRIC
    assert "/" not in rule["metricsQuery"].replace("<<.", "")
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}
