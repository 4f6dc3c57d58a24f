"""Every metric that rules and dashboards may name, so that none of them asks for what nobody tells.

Those of this project are read from its code, or listed and held against it by tests; of others the
ones in use are listed, by who tells them. Rules and dashboards may also name what rules record.
"""

import re
from pathlib import Path

from recsys_assets.rollout.watch_metrics import WatchMetrics
from recsys_assets.settings import REPOSITORY
from recsys_assets.triton.metric_names import SERVED

RULES = REPOSITORY / "observability" / "rules"

# Of Triton 2.51 with summary latencies, a response cache and dynamic batching, on a CPU.
TRITON = frozenset(
    {
        "nv_inference_request_success",
        "nv_inference_request_failure",
        "nv_inference_pending_request_count",
        "nv_inference_queue_duration_us",
        "nv_inference_request_summary_us",
        "nv_inference_queue_summary_us",
        "nv_cache_num_hits_per_model",
        "nv_cache_num_misses_per_model",
        "nv_cpu_utilization",
        "nv_cpu_memory_used_bytes",
        "nv_cpu_memory_total_bytes",
    }
)
AGENT = frozenset({"recsys_agent_store_reached", "recsys_agent_failed_looks_total"})
ONLINE_STORE = frozenset(
    {
        "recsys_valkey_up",
        "recsys_valkey_memory_bytes",
        "recsys_valkey_memory_max_bytes",
        "recsys_valkey_clients",
        "recsys_valkey_keys",
        "recsys_valkey_evicted_keys_total",
    }
)
EXPORTER = frozenset(
    {
        "recsys_store_reachable",
        "recsys_exporter_read_seconds",
        "recsys_exporter_read_timestamp_seconds",
        "recsys_exporter_unreadable",
        "recsys_promoted_release",
        "recsys_release_promoted_timestamp_seconds",
        "recsys_release_trained_through_timestamp_seconds",
        "recsys_release_data_through_timestamp_seconds",
        "recsys_drift_day_timestamp_seconds",
        "recsys_drift_alarming",
        "recsys_drift_psi",
        "recsys_business_day_timestamp_seconds",
        "recsys_business_alarming",
        "recsys_interactions_day_timestamp_seconds",
        "recsys_graph_alert_timestamp_seconds",
        "recsys_uncollected_answers",
        "recsys_uncollected_answers_limit",
        "recsys_answers_in_parts",
    }
)
HTTP = frozenset(
    {"recsys_http_requests_total", "recsys_http_seconds_bucket", "recsys_http_seconds_count"}
)
EVENTS = frozenset(
    {
        "recsys_events_accepted_total",
        "recsys_events_refused_total",
        "recsys_events_unlanded",
        "recsys_item_changes_accepted_total",
        "recsys_item_changes_refused_total",
        "recsys_items_departing",
    }
)
LANDING = frozenset(
    {
        "recsys_events_unlanded",
        "recsys_events_landed_rows_total",
        "recsys_events_landing_failures_total",
    }
)
# By those whom a cluster brings along: kube-state-metrics 2, kubelet and its cAdvisor,
# node_exporter 1, Prometheus 2 and Alertmanager 0.
OTHERS = {
    "kube-state-metrics": {
        "kube_deployment_spec_replicas",
        "kube_deployment_status_replicas_available",
        "kube_horizontalpodautoscaler_spec_max_replicas",
        "kube_horizontalpodautoscaler_status_condition",
        "kube_horizontalpodautoscaler_status_current_replicas",
        "kube_horizontalpodautoscaler_status_desired_replicas",
        "kube_job_status_active",
        "kube_job_status_failed",
        "kube_job_status_start_time",
        "kube_pod_container_status_last_terminated_reason",
        "kube_pod_container_status_restarts_total",
        "kube_pod_container_status_waiting_reason",
        "kube_pod_owner",
        "kube_pod_status_phase",
        "kube_pod_status_ready",
        "kube_statefulset_replicas",
        "kube_statefulset_status_replicas_ready",
    },
    "kubelet": {
        "container_cpu_usage_seconds_total",
        "container_memory_working_set_bytes",
        "kubelet_volume_stats_available_bytes",
        "kubelet_volume_stats_capacity_bytes",
    },
    "node_exporter": {"node_filesystem_avail_bytes", "node_filesystem_size_bytes"},
    "prometheus": {
        "prometheus_notifications_errors_total",
        "prometheus_rule_evaluation_failures_total",
        "up",
    },
    "alertmanager": {"alertmanager_notifications_failed_total"},
}

_STRING = re.compile(r'"[^"]*"')
_MATCHERS = re.compile(r"\{[^}]*\}")
_RANGE = re.compile(r"\[[^\]]*\]")
_LABELS = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)")
_KEYWORD = re.compile(r"\b(?:and|or|unless|offset|bool|by|on|without|ignoring)\b")
_NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])")
_RECORDED = re.compile(r"^ *- record: (\S+)$", re.MULTILINE)


def watched() -> set[str]:
    """Names of the watchdog's metrics, which an agent tells too."""
    families = WatchMetrics().registry.collect()
    return {sample.name for family in families for sample in family.samples}


def told() -> set[str]:
    """Names of all metrics that Prometheus finds when it scrapes."""
    ours = {
        *TRITON,
        *SERVED,
        *watched(),
        *AGENT,
        *ONLINE_STORE,
        *EXPORTER,
        *HTTP,
        *EVENTS,
        *LANDING,
    }
    return ours.union(*OTHERS.values())


def recorded() -> set[str]:
    """Names that the rules record."""
    return {name for file in rule_files() for name in _RECORDED.findall(file.read_text())}


def rule_files() -> list[Path]:
    """All files of rules, by name."""
    return sorted(RULES.glob("*.yml"))


def named(expression: str) -> set[str]:
    """Names of all metrics in a PromQL expression."""
    bare = _RANGE.sub("", _MATCHERS.sub("", _STRING.sub('""', expression)))
    return set(_NAME.findall(_KEYWORD.sub(" ", _LABELS.sub(" ", bare))))
