"""Pictures of a delivery: where they lie, and how a file of bytes becomes a square of pixels.

The catalogue names a picture by its path within the delivery's folder. Paths and files come from
whoever fills a shop's catalogue, so nothing outside the folder is read, only common formats are
decoded, and bytes and pixels are bounded before anything is decoded. What cannot be used is a
`PictureFault`, which is counted and stops nothing; a store that does not answer is an error.
"""

import hashlib
import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np

from recsys_assets.storage.filesystem import FileState, below, file_states, local_path, read_bytes

if TYPE_CHECKING:
    from PIL import Image

OUTSIDE, MISSING, TOO_LARGE, BROKEN = "outside", "missing", "too_large", "broken"
FAULTS = (OUTSIDE, MISSING, TOO_LARGE, BROKEN)
MAX_BYTES = 32 << 20
MAX_PIXELS = 40_000_000  # a decoded picture of four channels takes 160 MB then
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF")
_WHITE = (255, 255, 255)
_SHRINK_FROM = 4  # times the side of the square: what is larger is shrunk before it is padded


class PictureFault(Exception):
    """A picture that cannot be used: one of `FAULTS`, and the reason with its remedy."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


@dataclass(frozen=True)
class Delivery:
    """The pictures that lie below the folder at `url`, by their paths in it."""

    url: str
    states: dict[str, FileState]

    @classmethod
    def look(cls, url: str, images: Collection[str]) -> "Delivery":
        """Finds out which of the pictures that a catalogue names are there."""
        paths = {path for image in images if (path := path_within(url, image)) is not None}
        return cls(url, file_states(url, paths))

    def find(self, image: str) -> tuple[str, FileState]:
        """The path of a picture in the folder, and its state.

        Raises:
            PictureFault: it may not be read, is not there or has too many bytes.
        """
        path = path_within(self.url, image)
        if path is None:
            raise PictureFault(
                OUTSIDE, "it is not within the delivery: give a path relative to its folder"
            )
        state = self.states.get(path)
        if state is None:
            raise PictureFault(
                MISSING, "there is no such file that may be read: deliver it, or empty the path"
            )
        if state.size > MAX_BYTES:
            raise PictureFault(
                TOO_LARGE, f"it has {state.size:,} bytes: deliver it with at most {MAX_BYTES:,}"
            )
        return path, state

    def read(self, path: str) -> bytes:
        """A picture's bytes.

        Raises:
            PictureFault: it is gone, or cannot be read.
            StorageUnavailable: the store does not answer.
        """
        try:
            data = read_bytes(below(self.url, path))
        except PermissionError as error:
            raise PictureFault(BROKEN, f"it cannot be read ({error.strerror})") from error
        if data is None:
            raise PictureFault(MISSING, "the file went while it was read: deliver it again")
        return data


def path_within(folder: str, image: str) -> str | None:
    """The relative path that an image has in a folder; None if it lies elsewhere.

    Args:
        folder: URL of the delivery.
        image: a relative path, or the URL of a file below the folder.
    """
    if "://" in image:
        if not image.startswith(f"{folder}/"):
            return None
        image = image.removeprefix(f"{folder}/")
        image = image if local_path(folder) is None else unquote(image)
    path = PurePosixPath(image)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in image:
        return None
    return str(path)


def digest(data: bytes) -> str:
    """The name of a picture's content."""
    return hashlib.sha256(data).hexdigest()


def square(data: bytes, size: int) -> np.ndarray:
    """A picture as uint8 [size, size, 3]: its first frame, upright, whole, centred on white.

    Raises:
        PictureFault: it has too many pixels, or is no picture in one of `FORMATS`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise _too_many(f"{opened.width} x {opened.height}")
            opened.draft("RGB", (_SHRINK_FROM * size, _SHRINK_FROM * size))
            ImageOps.exif_transpose(opened, in_place=True)
            picture = _on_white(opened, size)
    except (PictureFault, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise _too_many("far too many") from None
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise PictureFault(BROKEN, f"it is no picture in one of {formats}: deliver one") from error
    except Exception as error:  # decoders raise whatever broken bytes lead them to
        raise PictureFault(BROKEN, f"it cannot be decoded ({error}): deliver it again") from error
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS))


def _too_many(found: str) -> PictureFault:
    return PictureFault(
        TOO_LARGE, f"it has {found} pixels: deliver it with at most {MAX_PIXELS:,} in all"
    )


def _on_white(picture: "Image.Image", size: int) -> "Image.Image":
    """The picture in RGB in the middle of a white square; what is transparent becomes white."""
    from PIL import Image

    if picture.mode.startswith("I;16"):  # converting cuts at 255, so all would be white
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    picture = picture if picture.mode == mode else picture.convert(mode)
    limit = _SHRINK_FROM * size
    if max(picture.size) > limit:
        picture.thumbnail((limit, limit), Image.Resampling.LANCZOS, reducing_gap=2.0)
    side = max(picture.size)
    place = ((side - picture.width) // 2, (side - picture.height) // 2)
    padded = Image.new("RGB", (side, side), _WHITE)
    padded.paste(picture, place, mask=picture if mode == "RGBA" else None)
    return padded
