"""Every metric that rules and dashboard may name, so that none of them asks for what nobody tells.

Three parties tell: Triton itself, the served model (`serving/metric_names.py`), and the watchdog
(`serving/watch_metrics.py`). Rules and dashboard may also name what the rules record.
"""

import re
from pathlib import Path

from recsys_assets.serving.metric_names import SERVED
from recsys_assets.serving.watch_metrics import WatchMetrics

# Of Triton 2.51 with summary latencies, a response cache and dynamic batching, on a CPU.
TRITON = frozenset(
    {
        "nv_inference_request_success",
        "nv_inference_request_failure",
        "nv_inference_pending_request_count",
        "nv_inference_request_summary_us",
        "nv_inference_queue_summary_us",
        "nv_cache_num_hits_per_model",
        "nv_cache_num_misses_per_model",
        "nv_cpu_utilization",
        "nv_cpu_memory_used_bytes",
        "nv_cpu_memory_total_bytes",
    }
)

_STRING = re.compile(r'"[^"]*"')
_NAME = re.compile(r"\b(?:recsys|nv)[_:][a-z0-9_:]+")
_RECORDED = re.compile(r"^ *- record: (\S+)$", re.MULTILINE)


def watched() -> set[str]:
    """Names of the watchdog's metrics."""
    families = WatchMetrics().registry.collect()
    return {sample.name for family in families for sample in family.samples}


def told() -> set[str]:
    """Names of all metrics that Prometheus finds when it scrapes."""
    return {*TRITON, *SERVED, *watched()}


def recorded(rules: Path) -> set[str]:
    """Names that a file of rules records."""
    return set(_RECORDED.findall(rules.read_text()))


def named(expression: str) -> set[str]:
    """Names of this project's and Triton's metrics in a PromQL expression."""
    return set(_NAME.findall(_STRING.sub("", expression)))
