"""A release brings its `model.py` along, and lives longer than the layout of the package."""

from recsys_assets.pipeline.pipeline import Pipeline
from recsys_assets.triton.served_model import PipelineModel

# As releases of version 0.1 have it.
MODEL = """
from pathlib import Path

from recsys_assets.retrieval.device import Device
from recsys_assets.serving.pipeline import Pipeline
from recsys_assets.serving.triton_model import PipelineModel
from recsys_assets.settings import load_settings


class TritonPythonModel(PipelineModel):
    @staticmethod
    def load(folder: Path, device: Device) -> Pipeline:
        return Pipeline.load(folder, load_settings(), device)
"""


def test_a_release_of_the_version_before_is_served_on():
    served: dict[str, type] = {}
    exec(MODEL, served)  # noqa: S102 (what Triton does with the file)

    assert issubclass(served["TritonPythonModel"], PipelineModel)
    assert served["Pipeline"] is Pipeline
