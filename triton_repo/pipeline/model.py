"""Triton model `pipeline`: a request from its context to the items shown."""

from pathlib import Path

from recsys_assets.models.device import Device
from recsys_assets.pipeline.pipeline import Pipeline
from recsys_assets.settings import load_settings
from recsys_assets.triton.served_model import PipelineModel


class TritonPythonModel(PipelineModel):
    """All stages of `recommend` in one process."""

    @staticmethod
    def load(folder: Path, device: Device) -> Pipeline:
        """The pipeline of the release in `folder`."""
        return Pipeline.load(folder, load_settings(), device)
