"""Grafana dashboards as code: what they are made of, and how they become JSON.

Built with Grafana's own `grafana-foundation-sdk`, of the development environment. Most panels draw
what `observability/rules` records, so that dashboards and alerts mean the same by the same word.
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


@dataclass(frozen=True)
class Board:
    """One dashboard: file name, title, how often and since when it shows, and plots by row."""

    name: str
    title: str
    refresh: str
    since: str
    rows: dict[str, list[Plot]]

    def expressions(self) -> list[str]:
        """All expressions of the dashboard."""
        plots = [plot for row in self.rows.values() for plot in row]
        return [line for plot in plots for line in plot.lines.values()]


def render(described: Board) -> str:
    """The dashboard as Grafana imports it, JSON."""
    from grafana_foundation_sdk.builders import dashboard
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    board = (
        dashboard.Dashboard(described.title)
        .uid(f"recsys-{described.name}")
        .tags(["recsys"])
        .readonly()
        .refresh(described.refresh)
        .time(described.since, "now")
        .timezone("utc")
        .with_variable(dashboard.DatasourceVariable("source").label("Source").type("prometheus"))
    )
    for title, plots in described.rows.items():
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
