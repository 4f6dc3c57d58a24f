"""What a person looks at who has been called: from what shoppers notice to what causes it."""

from tools.dashboards.dashboard import Board, Plot

_ROWS: dict[str, list[Plot]] = {
    "What shoppers get": [
        Plot(
            "Requests",
            "reqps",
            {
                "answered": "recsys:answered:rate1m",
                "refused": "recsys:refused:rate1m",
                "expired": "recsys:expired:rate1m",
            },
            "Refused at once as the queue was full; expired before they were ranked.",
        ),
        Plot(
            "Latency",
            "s",
            {
                "p{{quantile}}": "max by (quantile) "
                '(nv_inference_request_summary_us{model="recommend"}) / 1e6',
            },
            "Of whole requests within Triton, the queue included. The budget is 25 ms at 0.99.",
        ),
        Plot(
            "Shoppers who wait too long",
            "percentunit",
            {"over {{over}}": "recsys:slow_ratio:rate5m"},
            "At the recommend service: 1% may take over 25 ms, 0.1% over 50 ms.",
        ),
        Plot(
            "Errors",
            "percentunit",
            {"5 minutes": "recsys:error_ratio:rate5m", "1 hour": "recsys:error_ratio:rate1h"},
            "1 in 1,000 is the budget.",
        ),
        Plot(
            "Less than full answers",
            "percentunit",
            {
                "without online store": "recsys:degraded_ratio:rate1m",
                "{{level}}": "recsys:shed_ratio:rate1m",
            },
            "For an outage of the online store, or as there was too much to do.",
        ),
    ],
    "Where the time goes": [
        Plot("p99 by stage", "s", {"{{stage}}": "recsys:stage_seconds:p99"}, "Of whole batches."),
        Plot(
            "Seconds for a row by stage",
            "s",
            {
                "{{stage}}": "sum by (stage) (rate(recsys_stage_seconds_total[1m])) "
                "/ sum by (stage) (rate(recsys_stage_rows_total[1m]))",
            },
            "Falls as batches grow.",
        ),
        Plot(
            "Batches by size",
            "cps",
            {"up to {{size}}": "sum by (size) (rate(recsys_batch_rows_total[1m]))"},
        ),
    ],
    "Queue and caches": [
        Plot(
            "Waiting requests",
            "short",
            {"waiting": 'sum(nv_inference_pending_request_count{model="pipeline"})'},
            "A batch holds 32.",
        ),
        Plot("p99 in the queue", "s", {"p99": "recsys:queue_seconds:p99"}),
        Plot(
            "Response cache of anonymous visitors",
            "percentunit",
            {"hits": "recsys:cache_hit_ratio:rate5m"},
        ),
        Plot(
            "Filters of seen items",
            "percentunit",
            {"excluded candidates": "recsys:seen_excluded_ratio:rate5m"},
        ),
    ],
    "Release and health": [
        Plot(
            "Release",
            "short",
            {"promoted": "recsys_promoted_release", "answers": "recsys_probe_release"},
        ),
        Plot(
            "Loaded releases",
            "short",
            {"release {{release}}": "max by (release) (recsys_release_info)"},
        ),
        Plot(
            "Model processes",
            "short",
            {"alive": "recsys_model_processes", "wanted": "recsys_model_processes_wanted"},
        ),
        Plot(
            "Real requests of the watchdog",
            "s",
            {
                "p99": "histogram_quantile(0.99, sum by (le) "
                "(rate(recsys_probe_seconds_bucket[1m])))"
            },
        ),
        Plot(
            "Answered real requests",
            "short",
            {"Triton": "recsys_probe_up", "online store": "recsys_valkey_up"},
            "1 is yes.",
        ),
        Plot(
            "Faults",
            "short",
            {
                "healed: {{fault}}": "sum by (fault) (increase(recsys_healed_total[5m]))",
                "not healed": "sum(increase(recsys_unhealed_total[5m]))",
            },
            "Within 5 minutes.",
        ),
        Plot(
            "Answers missing from the log",
            "short",
            {"answers": "sum(increase(recsys_unlogged_answers_total[5m]))"},
            "Within 5 minutes.",
        ),
        Plot(
            "Items that no slate shows",
            "short",
            {"release {{release}}": "max by (release) (recsys_items_off_sale)"},
        ),
        Plot(
            "Age of what servers know of items",
            "s",
            {"release {{release}}": "max by (release) (recsys_items_age_seconds)"},
            "Of the process that is furthest behind.",
        ),
    ],
    "Resources": [
        Plot("Processor", "percentunit", {"used": "nv_cpu_utilization"}),
        Plot(
            "Memory of the machine",
            "bytes",
            {"used": "nv_cpu_memory_used_bytes", "there is": "nv_cpu_memory_total_bytes"},
        ),
        Plot("Memory of the online store", "bytes", {"used": "recsys_valkey_memory_bytes"}),
        Plot("Keys in the online store", "short", {"keys": "recsys_valkey_keys"}),
    ],
}

SERVING = Board("serving", "Recommender: serving", "5s", "now-30m", _ROWS)
