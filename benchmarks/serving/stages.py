"""Where the time goes: Triton's statistics of each model, and the served model's own stages."""

import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.serving.layouts import Running
from recsys_assets.triton.metric_names import STAGE_ROWS, STAGE_SECONDS

_PARTS = ("queue", "compute_input", "compute_infer", "compute_output")
_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(\{(?P<labels>.*)\})? (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SCRAPE_SECONDS = 2.0

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True)
class StageTimes:
    """Counters so far: nanoseconds by model and part, requests by model, and own metrics."""

    parts: dict[str, dict[str, int]]
    requests: dict[str, int]
    samples: Samples = field(default_factory=dict)


def read_times(running: Running) -> StageTimes:
    """Asks the server."""
    import tritonclient.grpc as grpc

    with grpc.InferenceServerClient(running.grpc) as client:
        statistics = client.get_inference_statistics(as_json=False).model_stats
    parts: dict[str, dict[str, int]] = {}
    requests: dict[str, int] = {}
    for model in statistics:
        done = parts.setdefault(model.name, dict.fromkeys(_PARTS, 0))
        for part in _PARTS:
            done[part] += getattr(model.inference_stats, part).ns
        requests[model.name] = requests.get(model.name, 0) + model.inference_stats.success.count
    return StageTimes(parts, requests, scrape(running.metrics) if running.metrics else {})


def times_between(before: StageTimes, after: StageTimes) -> dict[str, dict[str, float]]:
    """Milliseconds of one request in each part of each model, and in each of its own stages.

    Keys are models, with the parts by Triton's names, and `stages`. With dynamic batching, what a
    batch takes counts for each of its requests: they all waited for it.
    """
    found: dict[str, dict[str, float]] = {}
    for model, parts in after.parts.items():
        requests = after.requests[model] - before.requests.get(model, 0)
        if requests:
            found[model] = {
                f"{part}_ms": (after.parts[model][part] - before.parts.get(model, {}).get(part, 0))
                / requests
                / 1e6
                for part in parts
            }
            found[model] = {part: round(value, 4) for part, value in found[model].items()}
    own = _own_stages(before.samples, after.samples)
    return {**found, "stages": own} if own else found


def scrape(address: str) -> Samples:
    """The samples of a Prometheus endpoint, by name and labels."""
    url = f"http://{address}/metrics"
    with urllib.request.urlopen(url, timeout=_SCRAPE_SECONDS) as answer:  # noqa: S310 - http only
        return read_samples(answer.read().decode())


def read_samples(text: str) -> Samples:
    """Of Prometheus' text format."""
    found: Samples = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match:
            labels = tuple(sorted(_LABEL.findall(match["labels"] or "")))
            found[match["name"], labels] = float(match["value"])
    return found


def total(samples: Samples, name: str, by: str) -> dict[str, float]:
    """Sums of one metric by the values of a label."""
    sums: dict[str, float] = {}
    for (metric, labels), value in samples.items():
        if metric == name:
            key = dict(labels).get(by, "")
            sums[key] = sums.get(key, 0.0) + value
    return sums


def _own_stages(before: Samples, after: Samples) -> dict[str, float]:
    """Milliseconds of computing for each row, by stage: a batch's time is divided by its rows."""
    seconds = _grown(before, after, STAGE_SECONDS)
    rows = _grown(before, after, STAGE_ROWS)
    return {
        f"{stage}_ms": round(1000 * seconds[stage] / rows[stage], 4)
        for stage in seconds
        if rows.get(stage)
    }


def _grown(before: Samples, after: Samples, name: str) -> Mapping[str, float]:
    first, last = total(before, name, "stage"), total(after, name, "stage")
    return {stage: value - first.get(stage, 0.0) for stage, value in last.items()}
