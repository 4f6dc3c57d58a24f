"""See the package."""

from recsys_assets.triton.served_model import PipelineModel

__all__ = ["PipelineModel"]
