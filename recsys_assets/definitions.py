"""The asset graph of a deployment: all that `defs.graph` holds, with what it runs on.

There each stage has a module or a folder, its assets and their checks side by side; what a module
defines at its top is in the graph.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from recsys_assets.defs import graph
from recsys_assets.defs.deployment import table
from recsys_assets.defs.deployment.steps import work_by_step
from recsys_assets.defs.runs.progress import progress_logger
from recsys_assets.settings import Settings, load_settings


def build_definitions(
    settings: Settings, resources: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """The whole graph for the deployment of the settings; `resources` replaces single entries."""
    # Not by `load_from_defs_folder`: that imports every library with components that is installed,
    # dagster-aws among them, which takes each process 5 s of CPU and is used by none of ours.
    stages = dg.load_definitions_from_package_module(graph)
    steps = [*(stages.assets or []), *(stages.asset_checks or [])]
    deployment = dg.Definitions(
        resources={**table.resources(settings), **(resources or {})},
        executor=table.executor(settings, work_by_step(steps)),
        loggers={"console": progress_logger},
    )
    return dg.Definitions.merge(stages, deployment)


defs = build_definitions(load_settings())
