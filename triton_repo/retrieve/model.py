"""Triton model `retrieve`: a query embedding to candidates that the user has not bought."""

from pathlib import Path

from recsys_assets.serving.pipeline import RetrieveStage
from recsys_assets.serving.triton_stage import StageModel
from recsys_assets.settings import load_settings


class TritonPythonModel(StageModel):
    """The second stage of `recommend`."""

    @staticmethod
    def load(folder: Path) -> RetrieveStage:
        """The stage of the release in `folder`."""
        return RetrieveStage.load(folder, load_settings().online_store_url)
