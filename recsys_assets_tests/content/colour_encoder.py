"""An encoder of pictures without weights: the mean colour; and pictures to give it."""

import io

import dagster as dg
import numpy as np
from PIL import Image

from recsys_assets.content.image_encoder import ImageEncoder


def picture_file(colour, size=(6, 6), form="PNG", mode="RGB", **options):
    """The bytes of a picture of one colour."""
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, form, **options)
    return file.getvalue()


class ColourEncoder:
    """The mean colour at unit length; counts squares, and fails on a colour on demand."""

    name = "colour"
    dimensions = 3
    size = 4

    def __init__(self, version="colour@1", fail_on=None):
        self.version = version
        self.fail_on = fail_on
        self.encoded = 0

    def encode(self, contents):
        self.encoded += len(contents)
        means = np.array([square.mean(axis=(0, 1)) for square in contents]).reshape(-1, 3)
        if self.fail_on is not None and (means == self.fail_on).all(axis=1).any():
            raise RuntimeError("killed")
        return self.vectors(means)

    @staticmethod
    def vectors(colours):
        shifted = np.asarray(colours, dtype=np.float32) + 1
        return shifted / np.linalg.norm(shifted, axis=1, keepdims=True)


class ColourEncoderResource(dg.ConfigurableResource):
    """The same as a resource."""

    def get(self) -> ImageEncoder:
        return ColourEncoder()
