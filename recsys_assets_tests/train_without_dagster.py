"""Trains one model in the models environment: module, store, last day, folder, parameters."""

import importlib
import json
import logging
import sys
from pathlib import Path

from recsys_assets.ranking.hyperparameters import DlrmParameters
from recsys_assets.retrieval.hyperparameters import TwoTowerParameters
from recsys_assets.retrieval.training_data import load_training_data
from recsys_assets.retrieval.training_process import limit_threads
from recsys_assets.storage import Store


class Channel:
    """Takes what a training reports."""

    log = logging.getLogger(__name__)

    def report_custom_message(self, payload):
        self.log.info(json.dumps(payload))


def main(module: str, store: str, through: str, folder: str, parameters: str) -> None:
    limit_threads()
    training = importlib.import_module(module)
    kind = TwoTowerParameters if "retrieval" in module else DlrmParameters
    data = load_training_data(Store(store), through)
    training.train(data, kind(**json.loads(parameters)), Path(folder), Channel())


if __name__ == "__main__":
    main(*sys.argv[1:])
