"""Triton model `query`: request context and user features to a query embedding."""

from pathlib import Path

from recsys_assets.serving.pipeline import QueryStage
from recsys_assets.serving.triton_stage import StageModel
from recsys_assets.settings import load_settings


class TritonPythonModel(StageModel):
    """The first stage of `recommend`."""

    @staticmethod
    def load(folder: Path) -> QueryStage:
        """The stage of the release in `folder`."""
        return QueryStage.load(folder, load_settings().online_store_url)
