"""Matplotlib figures as Dagster's metadata shows them: PNG within Markdown, no file to serve."""

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 110


def as_png(figure: "Figure") -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def as_markdown(png: bytes, alt: str) -> str:
    """A PNG as an image within Markdown."""
    return f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})"
