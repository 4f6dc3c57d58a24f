"""The report of the benchmark: JSON, and a table for people."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.serving.extent import STATED_RATE
from benchmarks.serving.layouts import CASE_STUDY, CASE_STUDY_CACHED, FLOOR, OURS
from recsys_assets.storage.filesystem import write_atomically

STATED = f"{STATED_RATE:g}"
_TITLES = {
    OURS: "ours",
    CASE_STUDY: "case study (a), live lookups",
    CASE_STUDY_CACHED: "case study (b), item cache",
    FLOOR: "floor, one process without a server",
}
COLUMNS = (
    "layout",
    "p50 / p90 / p99 / p99.9 at 100/s, ms",
    "errors",
    "requests/s at p99 ≤ 25 ms",
    "answers/s at most",
)

Report = dict[str, Any]

_WHOLE = 100  # numbers from here on are shown without decimals


def ratios(layouts: Mapping[str, Report]) -> dict[str, float | None]:
    """Ours over each peer, and its p50 over the floor's; None where one was not measured or is 0.

    `saturation_…` compares answers per second with as many in flight as a server can use,
    `throughput_at_p99_25ms_…` the highest rates that keep a p99 of 25 ms.
    """
    found: dict[str, float | None] = {}
    for peer in (CASE_STUDY, CASE_STUDY_CACHED):
        for figure in ("saturation_rps", "throughput_at_p99_25ms"):
            ours, theirs = _figure(layouts, OURS, figure), _figure(layouts, peer, figure)
            name = "saturation" if figure == "saturation_rps" else figure
            found[f"{name}_over_{peer}"] = _ratio(ours, theirs)
    floor = _rate(layouts, FLOOR, "p50_ms")
    found["p50_over_floor"] = _ratio(_rate(layouts, OURS, "p50_ms"), floor)
    return found


def rows(layouts: Mapping[str, Report]) -> list[tuple[str, ...]]:
    """Cells of the table, by `COLUMNS`."""
    return [
        (
            _TITLES.get(name, name),
            " / ".join(
                _shown(_rate(layouts, name, column))
                for column in ("p50_ms", "p90_ms", "p99_ms", "p999_ms")
            ),
            _errors(layout),
            f"{layout['throughput_at_p99_25ms']:g}",
            f"{layout['saturation_rps']:g}",
        )
        for name, layout in layouts.items()
    ]


def as_markdown(report: Report) -> str:
    """The table, the ratios and the spread, for docs/results/load.md."""
    lines = [
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *("| " + " | ".join(row) + " |" for row in rows(report["layouts"])),
        "",
        *(f"- {name}: {_shown(value)}" for name, value in report["ratios"].items()),
        "",
        spread_in_words(report["layouts"]),
        "",
        f"Measured on: {machine_in_words(report['machine'])}.",
    ]
    return "\n".join(lines) + "\n"


def spread_in_words(layouts: Mapping[str, Report]) -> str:
    """Least and most of the repetitions at the stated rate."""
    parts = []
    for name, layout in layouts.items():
        stated = layout["rates"].get(STATED, {})
        spread = stated.get("spread") or {}
        if spread:
            p50, p99 = spread["p50_ms"], spread["p99_ms"]
            parts.append(
                f"{_TITLES.get(name, name)}: p50 {p50[0]:g} to {p50[1]:g} ms, "
                f"p99 {p99[0]:g} to {p99[1]:g} ms in {stated['repetitions']} runs"
            )
    return f"Spread at {STATED}/s: " + ("; ".join(parts) or "one run each") + "."


def machine_in_words(machine: Mapping[str, Any]) -> str:
    """One line."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']:g} GB, "
        "the load generator runs on the same cores"
    )


def write(report: Report, folder: Path, name: str) -> Path:
    """Writes `name`.json, each file whole or not at all; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    text = json.dumps(without_nan(report), indent=2, ensure_ascii=False) + "\n"
    write_atomically(path.as_uri(), text.encode())
    return path


def without_nan(value: Any) -> Any:
    """The same with None for what is not a number: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _figure(layouts: Mapping[str, Report], name: str, figure: str) -> float | None:
    return layouts[name][figure] if name in layouts else None


def _rate(layouts: Mapping[str, Report], name: str, figure: str) -> float | None:
    return layouts.get(name, {}).get("rates", {}).get(STATED, {}).get(figure)


def _ratio(over: float | None, under: float | None) -> float | None:
    return round(over / under, 2) if over and under and math.isfinite(over / under) else None


def _errors(layout: Report) -> str:
    stated = layout["rates"].get(STATED)
    return "-" if stated is None else f"{stated['errors']} of {stated['requests']}"


def _shown(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if value >= _WHOLE else f"{value:.3g}"
