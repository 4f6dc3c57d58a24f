"""What a lower precision costs and saves: `python -m benchmarks.quantized`.

The promoted release, brought into each precision and held against itself: bytes by part, resident
memory, each in a process of its own, latency, the precisions taking turns in one process, and the
quality of its answers on the evaluation's requests with paired intervals. Writes
`bench/quantized.json`, `.md` and `.png`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import quantized_probe
from benchmarks import quantized_quality as quality
from benchmarks.machine import describe_machine
from benchmarks.quantized_report import as_markdown, plot
from recsys_assets.releases.offline import OfflineRelease
from recsys_assets.releases.quantization import Precision, Sizes, quantize_release
from recsys_assets.releases.release import Releases
from recsys_assets.settings import Settings, load_settings
from recsys_assets.storage import Store
from recsys_assets.triton.repository import PIPELINE

BASELINE = "fp32"
VARIANTS = {
    BASELINE: Precision(),
    "fp16": Precision("fp16"),
    "int8": Precision("int8"),
    "int8 + int8 dense": Precision("int8", "int8"),
}
_DOT_PRODUCTS = ("avx512_vnni", "avx_vnni")  # what makes int8 layers fast


def bench(
    settings: Settings, blocks: int, requests: int, log: Callable[[str], object]
) -> dict[str, Any]:
    """Measures every variant; returns what `quantized.json` holds.

    Args:
        settings: name the store and the models environment.
        blocks: turns of each variant when latency is measured.
        requests: of a block.
        log: takes lines of progress.

    Raises:
        SystemExit: no release is promoted.
    """
    releases = Releases(Store(settings.storage_url))
    promoted = releases.promoted()
    if promoted is None:
        raise SystemExit(f"no release of {releases.url} is promoted: run `recsys demo` first")
    number = promoted.release
    asked = quality.load_questions(releases.store, settings)
    log(f"release {number}, {len(asked.sessions):,} households ask")
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home) as place:
        folders = {name: Path(place) / str(n) for n, name in enumerate(VARIANTS)}
        sizes = {
            name: _variant(releases.fetch(number), number, folders[name], precision)
            for name, precision in VARIANTS.items()
        }
        answers = _qualities(folders, number, asked, log)
        sessions = Path(place) / "sessions.json"
        quantized_probe.write_sessions(sessions, asked.sessions)
        memory = {
            name: _probe(settings, number, sessions, [str(folder)])[0]
            for name, folder in folders.items()
        }
        log("memory measured, latency follows")
        paths = [str(folder) for folder in folders.values()]
        turns = ["--blocks", str(blocks), "--requests", str(requests)]
        measured = latencies(_probe(settings, number, sessions, [*paths, *turns]))
    return {
        "machine": describe_machine() | {"int8_dot_products": _int8_dot_products()},
        "settings": {
            "release": number,
            "households": len(asked.sessions),
            "blocks": blocks,
            "requests_per_block": requests,
            "negatives_per_household": quality.NEGATIVES,
        },
        "variants": {
            name: {
                "precision": asdict(VARIANTS[name]),
                "bytes": {part: asdict(size) for part, size in sizes[name].items()},
                "embeddings_ratio": embeddings_ratio(sizes[name]),
                **memory[name],
                **latency,
                "quality": answers[name],
            }
            for name, latency in zip(VARIANTS, measured, strict=True)
        },
    }


def _variant(release: Path, number: int, folder: Path, precision: Precision) -> dict[str, Sizes]:
    """A copy of what is served of a release, in a precision."""
    version = Path("models") / PIPELINE / str(number)
    shutil.copytree(release / version, folder / version)
    return quantize_release(folder / version, precision)


def _qualities(
    folders: Mapping[str, Path],
    number: int,
    asked: quality.Questions,
    log: Callable[[str], object],
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    graded, baseline = None, None
    for name, folder in folders.items():
        served = OfflineRelease.load(folder, number)
        if graded is None:
            version = folder / "models" / PIPELINE / str(number)
            graded = quality.draw_graded(version, served.item_ids.tolist(), asked)
        values, slates = quality.measure(served, asked, graded)
        if baseline is None:
            baseline = values, slates
        found[name] = {
            **quality.compare(values, baseline[0]),
            "slate_overlap": quality.overlap(slates, baseline[1]),
        }
        log(f"{name}: NDCG@10 {values['ndcg_at_10'].mean():.5f}, AUC {values['auc'].mean():.5f}")
    return found


def _probe(settings: Settings, number: int, sessions: Path, arguments: list[str]) -> list[Any]:
    """What a process of the models environment has measured."""
    module = quantized_probe.__name__
    printed = subprocess.run(
        [str(settings.models_python), "-m", module, str(number), str(sessions), *arguments],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    found: list[Any] = json.loads(printed.splitlines()[-1])
    return found


def latencies(measured: Sequence[quantized_probe.Latency]) -> list[dict[str, Any]]:
    """Percentiles of each form, and its CPU time as a share of that of the first form.

    The share is the mean over blocks of the ratio of medians, with its 95 % bootstrap interval.
    """
    from recsys_assets.metrics import bootstrap

    first = np.median(measured[0]["cpu"], axis=1)
    found = []
    for times in measured:
        share = bootstrap(np.median(times["cpu"], axis=1) / first)
        found.append(
            {
                "cpu_ms": _percentiles(times["cpu"]),
                "wall_ms": _percentiles(times["wall"]),
                "cpu_share": share.mean,
                "cpu_share_interval": [share.low, share.high],
            }
        )
    return found


def _percentiles(milliseconds: Sequence[Sequence[float]]) -> dict[str, float]:
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3)}


def embeddings_ratio(sizes: Mapping[str, Sizes]) -> float:
    """Bytes of all embeddings over those in float32."""
    parts = [size for part, size in sizes.items() if part != "dense_layers"]
    before = sum(size.before for size in parts)
    return sum(size.after for size in parts) / before if before else 1.0


def _int8_dot_products() -> list[str]:
    """The instructions for them that the processor has."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next((line for line in cpuinfo if line.startswith("flags")), "").split()
    return [flag for flag in _DOT_PRODUCTS if flag in flags]


def main() -> None:
    """Measures, prints the table and writes the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=20, help="turns of each precision")
    parser.add_argument("--requests", type=int, default=25, help="timed in a block")
    given = parser.parse_args()
    settings = load_settings()
    result = bench(
        settings, given.blocks, given.requests, lambda line: sys.stderr.write(f"{line}\n")
    )
    folder = settings.home / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quantized.json").write_text(json.dumps(result, indent=2) + "\n")
    (folder / "quantized.md").write_text(as_markdown(result))
    (folder / "quantized.png").write_bytes(plot(result))
    machine = result["machine"]
    sys.stdout.write(f"{machine}\n{as_markdown(result)}written: {folder}/quantized.json\n")


if __name__ == "__main__":
    main()
