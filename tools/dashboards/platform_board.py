"""What everything runs on: pods, autoscaling, the stores, and Dagster's runs."""

from tools.dashboards.dashboard import Board, Plot

_OURS = 'namespace="recsys"'

_ROWS: dict[str, list[Plot]] = {
    "Workloads": [
        Plot(
            "Available pods",
            "short",
            {
                "{{deployment}}": f"kube_deployment_status_replicas_available{{{_OURS}}}",
                "{{statefulset}}": f"kube_statefulset_status_replicas_ready{{{_OURS}}}",
            },
        ),
        Plot(
            "Restarts",
            "short",
            {
                "{{pod}} {{container}}": "sum by (pod, container) (increase("
                f"kube_pod_container_status_restarts_total{{{_OURS}}}[15m])) > 0"
            },
            "Within a quarter of an hour.",
        ),
        Plot(
            "Memory of containers",
            "bytes",
            {
                "{{pod}} {{container}}": "sum by (pod, container) "
                f'(container_memory_working_set_bytes{{{_OURS}, container!=""}})'
            },
        ),
        Plot(
            "Processors of containers",
            "short",
            {
                "{{pod}} {{container}}": "sum by (pod, container) "
                f'(rate(container_cpu_usage_seconds_total{{{_OURS}, container!=""}}[5m]))'
            },
        ),
    ],
    "Autoscaling": [
        Plot(
            "Servers",
            "short",
            {
                "are there": f"kube_horizontalpodautoscaler_status_current_replicas{{{_OURS}}}",
                "wanted": f"kube_horizontalpodautoscaler_status_desired_replicas{{{_OURS}}}",
                "at most": f"kube_horizontalpodautoscaler_spec_max_replicas{{{_OURS}}}",
            },
        ),
        Plot(
            "Time in the queue",
            "s",
            {"{{pod}}": "recsys:queue_seconds:mean1m"},
            "Of the mean request. Servers are added above 5 ms.",
        ),
        Plot(
            "Requests by service",
            "reqps",
            {
                "{{service}} {{status}}": "sum by (service, status) "
                "(rate(recsys_http_requests_total[1m]))"
            },
        ),
        Plot(
            "p99 by service",
            "s",
            {
                "{{service}}": "histogram_quantile(0.99, sum by (service, le) "
                '(rate(recsys_http_seconds_bucket{path=~"/v1/.*"}[1m])))'
            },
        ),
    ],
    "Online store": [
        Plot(
            "Memory",
            "bytes",
            {
                "used": "max(recsys_valkey_memory_bytes)",
                "limit": "max(recsys_valkey_memory_max_bytes) > 0",
            },
        ),
        Plot("Keys", "short", {"keys": "max(recsys_valkey_keys)"}),
        Plot(
            "Keys forgotten",
            "cps",
            {"keys": "max(rate(recsys_valkey_evicted_keys_total[5m]))"},
            "For want of memory.",
        ),
        Plot("Clients", "short", {"clients": "max(recsys_valkey_clients)"}),
        Plot(
            "Answers that wait to be collected",
            "short",
            {
                "in the online store": "recsys_uncollected_answers",
                "at most": "recsys_uncollected_answers_limit",
                "in files": "recsys_answers_in_parts",
            },
        ),
    ],
    "Store and disks": [
        Plot(
            "The store answers",
            "short",
            {
                "exporter": "recsys_store_reachable",
                "agent {{instance}}": "recsys_agent_store_reached",
            },
            "1 is yes.",
        ),
        Plot(
            "Reading the store takes",
            "s",
            {"exporter": "recsys_exporter_read_seconds"},
            "About ten requests.",
        ),
        Plot(
            "Files that could not be written",
            "short",
            {"landing": "sum(increase(recsys_events_landing_failures_total[15m]))"},
            "Within a quarter of an hour.",
        ),
        Plot(
            "Free space of volumes",
            "percentunit",
            {
                "{{persistentvolumeclaim}}": f"kubelet_volume_stats_available_bytes{{{_OURS}}} "
                f"/ kubelet_volume_stats_capacity_bytes{{{_OURS}}}"
            },
        ),
    ],
    "Runs of Dagster": [
        Plot(
            "Jobs",
            "short",
            {
                "running": f"sum(kube_job_status_active{{{_OURS}}})",
                "failed": f"sum(kube_job_status_failed{{{_OURS}}})",
            },
            "That are there; they are deleted some time after their end.",
        ),
        Plot(
            "Daemon, webserver and code",
            "short",
            {
                "{{deployment}}": "kube_deployment_status_replicas_available"
                f'{{{_OURS}, deployment=~".*dagster.*"}}'
            },
        ),
    ],
}

PLATFORM = Board("platform", "Recommender: platform", "15s", "now-3h", _ROWS)
