"""What drift detection does when there is none, and when something is broken on purpose."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recsys_assets.monitoring.loading import LiveWeights, as_live
from recsys_assets.monitoring.thresholds import DriftThresholds
from recsys_assets.releases.release import Releases
from recsys_assets.settings import Settings
from recsys_assets.storage import MissingPartition, Store
from recsys_assets.storage.filesystem import write_atomically
from replay import drift_experiments

FILE = "experiments.json"
_CONTROL_DAYS = 60


def run_experiments(settings: Settings, first_release: int) -> Path:
    """The stationary control, and each shock alone, against the release that a replay began with.

    One that the recorded days are too few for is null, and `not_run` says why.
    """
    store, thresholds = Store(settings.storage_url), DriftThresholds()
    live = as_live(Releases(store), first_release)
    run: dict[str, Callable[[], Any]] = {
        "control": lambda: drift_experiments.stationary_control(
            store, live, thresholds, settings.drift_days, _control_days(store, live, thresholds)
        ),
        "shocks": lambda: drift_experiments.shocks(
            store, live, thresholds, drift_experiments.shock_day(store, live, thresholds)
        ),
    }
    found: dict[str, Any] = {"not_run": {}}
    for name, experiment in run.items():
        try:
            found[name] = experiment()
        except (MissingPartition, ValueError) as error:
            found[name], found["not_run"][name] = None, str(error)
    path = settings.home / "replay" / FILE
    write_atomically(path.as_uri(), json.dumps(found, indent=2).encode())
    return path


def _control_days(store: Store, live: LiveWeights, thresholds: DriftThresholds) -> int:
    """As many as history has beside the reference, and sixty at most."""
    days = [day for day in store.table("interactions").days() if day <= live.trained_through]
    left = len(days) - thresholds.reference_days
    if left < 1:
        raise ValueError(
            f"the release was trained on {len(days)} days: more than {thresholds.reference_days} "
            "are needed for a control, for so many are its reference"
        )
    return min(left, _CONTROL_DAYS)
