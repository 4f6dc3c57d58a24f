"""The asset graph of a deployment: all that `defs` holds, with what it runs on.

`defs` has a module or a folder for each stage, its assets and their checks side by side; what a
module there defines at its top is in the graph.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from recsys_assets.defs.deployment import table
from recsys_assets.defs.deployment.steps import work_by_step
from recsys_assets.defs.runs.progress import progress_logger
from recsys_assets.settings import Settings, load_settings


def build_definitions(
    settings: Settings, resources: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """The whole graph for the deployment of the settings; `resources` replaces single entries."""
    stages = dg.load_from_defs_folder(path_within_project=Path(__file__).parent / "defs")
    steps = [*(stages.assets or []), *(stages.asset_checks or [])]
    deployment = dg.Definitions(
        resources={**table.resources(settings), **(resources or {})},
        executor=table.executor(settings, work_by_step(steps)),
        loggers={"console": progress_logger},
    )
    return dg.Definitions.merge(stages, deployment)


defs = build_definitions(load_settings())
