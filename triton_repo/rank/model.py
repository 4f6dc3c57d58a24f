"""Triton model `rank`: candidates to the items shown, in order."""

from pathlib import Path

from recsys_assets.serving.pipeline import RankStage
from recsys_assets.serving.triton_stage import RankModel


class TritonPythonModel(RankModel):
    """The last stage of `recommend`."""

    @staticmethod
    def load(folder: Path) -> RankStage:
        """The stage of the release in `folder`."""
        return RankStage.load(folder)
