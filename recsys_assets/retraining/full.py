"""Trains a model from scratch on everything there is. Runs in the models environment.

Started through Dagster Pipes as `python -m recsys_assets.retraining.full`, a stage at a time. The
initial trainings do the same; this one is of a day, and leaves their artifacts alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from recsys_assets.models import dlrm_training as ranking
from recsys_assets.models import two_tower_training as retrieval
from recsys_assets.models.hyperparameters import DlrmParameters, TwoTowerParameters
from recsys_assets.models.training import publish
from recsys_assets.models.training_data import load_training_data
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from dagster_pipes import PipesContext

STAGES = ("two_tower", "dlrm")


def _stage(pipes: "PipesContext") -> str:
    stage = str(pipes.get_extra("stage"))
    if stage not in STAGES:
        raise ValueError(f"extra stage={stage!r}: give one of {', '.join(STAGES)}")
    return stage


def _artifact(pipes: "PipesContext") -> str:
    return f"retrained_{_stage(pipes)}/{pipes.get_extra('day')}"


def _train(pipes: "PipesContext", store: Store, folder: Path) -> None:
    if _stage(pipes) == "two_tower":
        _two_tower(pipes, store, folder)
    else:
        _dlrm(pipes, store, folder)


def _two_tower(pipes: "PipesContext", store: Store, folder: Path) -> None:
    parameters = TwoTowerParameters(**pipes.get_extra("parameters"))
    data = load_training_data(store, pipes.get_extra("through"))
    retrieval.train(data, parameters, pipes.get_extra("time_zone"), folder, pipes)


def _dlrm(pipes: "PipesContext", store: Store, folder: Path) -> None:
    parameters = DlrmParameters(**pipes.get_extra("parameters"))
    two_tower = store.artifact(f"retrained_two_tower/{pipes.get_extra('day')}").fetch()
    data = load_training_data(store, pipes.get_extra("through"))
    ranking.train(data, parameters, pipes.get_extra("time_zone"), folder, pipes)
    ranking.add_retrieval(folder, two_tower, parameters)


def main() -> None:
    """Entry point; extras: `stage`, `store`, `day`, `through`, `time_zone`, `parameters`.

    Stage "dlrm" takes the two-tower model that was retrained for the same day.
    """
    publish(_artifact, _train)


if __name__ == "__main__":
    main()
