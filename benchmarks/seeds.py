"""Spread of the evaluation over seeds: `python -m benchmarks.seeds --seeds 1 2 3`.

Trains both models anew for each seed on what `recsys demo` has materialized, in a copy of its
storage, and evaluates them beside the same baselines. The instance and the release that is served
are left alone.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import dagster as dg
import numpy as np

from recsys_assets.definitions import build_definitions
from recsys_assets.defs.graph.jobs import initial_pipeline
from recsys_assets.defs.resources import StoreResource
from recsys_assets.settings import Settings, load_settings
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import open_url

_TRAINED = ("two_tower", "item_embeddings", "item_index", "dlrm", "evaluation")
_METRICS = ("recall_at_10", "recall_at_100", "ndcg_at_10", "coverage_at_10")


def figures_of_seed(settings: Settings, storage: Path, seed: int) -> dict[str, dict[str, float]]:
    """Trains with one seed and returns each method's figures over all requests."""
    definitions = build_definitions(settings, {"store": StoreResource(url=storage.as_uri())})
    with dg.DagsterInstance.ephemeral() as instance:
        definitions.resolve_job_def(initial_pipeline.name).execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in _TRAINED],
            run_config={
                "loggers": {"console": {}},
                "ops": {name: {"config": {"seed": seed}} for name in ("two_tower", "dlrm")},
            },
        )
    rows = Store(storage.as_uri()).table("evaluation").read().to_pylist()
    return {
        row["method"]: {metric: row[metric] for metric in _METRICS}
        for row in rows
        if row["segment"] == "all"
    }


def main() -> None:
    """Prints one line for each seed and the spread, and writes `var/bench/seeds.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    seeds = parser.parse_args().seeds
    settings = load_settings()
    with tempfile.TemporaryDirectory(dir=settings.home) as folder:
        storage = Path(folder) / "storage"
        source = open_url(settings.storage_url)[1]
        # Stored files are replaced, never changed, so links are as good as copies.
        shutil.copytree(source, storage, copy_function=os.link)
        found = {seed: figures_of_seed(settings, storage, seed) for seed in seeds}
    methods = sorted(next(iter(found.values())))
    spread = {
        method: {
            metric: {
                "mean": float(np.mean(values := [found[seed][method][metric] for seed in seeds])),
                "least": min(values),
                "most": max(values),
            }
            for metric in _METRICS
        }
        for method in methods
    }
    target = settings.home / "bench" / "seeds.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"seeds": found, "spread": spread}, indent=2))
    lines = [f"{os.cpu_count()} cores, seeds {seeds}: mean (least to most)"]
    for method, metrics in spread.items():
        shown = (
            f"{m} {v['mean']:.4f} ({v['least']:.4f}-{v['most']:.4f})" for m, v in metrics.items()
        )
        lines.append(f"{method:<15}" + "  ".join(shown))
    sys.stdout.write("\n".join([*lines, f"written: {target}", ""]))


if __name__ == "__main__":
    main()
