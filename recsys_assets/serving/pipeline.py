"""See the package."""

from recsys_assets.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]
