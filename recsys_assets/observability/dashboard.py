"""The Grafana dashboard of serving, as code: what a person looks at who has been called.

Built with Grafana's own `grafana-foundation-sdk`, of the development environment. The panels lead
from what shoppers notice to what causes it; most draw what `observability/rules` records, so that
dashboard and alerts mean the same by the same word.
"""

from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.timeseries import Panel

Unit = Literal["s", "reqps", "percentunit", "bytes", "short", "cps"]

_WIDTHS = {1: 24, 2: 12, 3: 8, 4: 6}  # of the 24 columns, by panels in a row
_HEIGHT = 8


@dataclass(frozen=True)
class Plot:
    """One panel: what it shows, in which unit, and the expressions of its lines by their name."""

    title: str
    unit: Unit
    lines: dict[str, str]
    says: str = ""


ROWS: dict[str, list[Plot]] = {
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


def expressions() -> list[str]:
    """All expressions of the dashboard."""
    return [line for plots in ROWS.values() for plot in plots for line in plot.lines.values()]


def render() -> str:
    """The dashboard as Grafana imports it, JSON."""
    from grafana_foundation_sdk.builders import dashboard
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    board = (
        dashboard.Dashboard("Recommender: serving")
        .uid("recsys-serving")
        .tags(["recsys"])
        .readonly()
        .refresh("5s")
        .time("now-30m", "now")
        .timezone("utc")
        .with_variable(dashboard.DatasourceVariable("source").label("Source").type("prometheus"))
    )
    for title, plots in ROWS.items():
        board.with_row(dashboard.Row(title))
        for number, plot in enumerate(plots):
            board.with_panel(_panel(plot, _WIDTHS[_in_its_row(number, len(plots))]))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _in_its_row(number: int, plots: int) -> int:
    """How many panels stand beside each other where panel `number` of `plots` stands."""
    return min(4, plots - number // 4 * 4)


def _panel(plot: Plot, width: int) -> "Panel":
    from grafana_foundation_sdk.builders import prometheus, timeseries
    from grafana_foundation_sdk.models.dashboard import DataSourceRef

    source = DataSourceRef(type_val="prometheus", uid="${source}")
    panel = (
        timeseries.Panel()
        .title(plot.title)
        .description(plot.says)
        .datasource(source)
        .unit(plot.unit)
        .min(0)
        .span(width)
        .height(_HEIGHT)
    )
    for reference, (legend, expression) in zip(ascii_uppercase, plot.lines.items(), strict=False):
        line = prometheus.Dataquery().expr(expression).legend_format(legend).range()
        panel.with_target(line.datasource(source).ref_id(reference))
    return panel
