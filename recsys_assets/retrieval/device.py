"""See the package."""

from recsys_assets.models.device import Device

__all__ = ["Device"]
