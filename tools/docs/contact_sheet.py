"""Draws docs/images/contact-sheet.png: a small catalogue of shapes, embedded as a shop's would be.

Run by `python -m tools.docs.contact_sheet [FILE]`. The pictures are drawn here, so that they may be
shown; each line of the sheet is one of them, then those nearest to it.
"""

import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from PIL import Image, ImageDraw

from recsys_assets.content.image_encoder import open_image_encoder
from recsys_assets.content.item_images import embed_item_images
from recsys_assets.settings import REPOSITORY, load_settings
from recsys_assets.storage import Store

_SHEET = REPOSITORY / "docs" / "images" / "contact-sheet.png"
_SIDE = 240
_COLOURS = ("firebrick", "royalblue", "seagreen", "goldenrod", "indigo", "dimgray")
_OF_EACH = 8


def main(file: Path = _SHEET) -> None:
    """Writes the sheet."""
    with TemporaryDirectory() as folder:
        delivery, store = Path(folder) / "delivery", Store(f"{Path(folder).as_uri()}/store")
        delivery.mkdir()
        names = list(_draw_catalogue(delivery, random.Random(7)))  # noqa: S311  # no secret
        store.table("items").write(pa.table({"item_id": names, "image": names}))
        found = embed_item_images(
            store,
            delivery.as_uri(),
            lambda: open_image_encoder(None, load_settings().packaged_data),
        )
    assert found.contact_sheet is not None
    file.write_bytes(found.contact_sheet)


def _draw_catalogue(folder: Path, chance: random.Random) -> list[str]:
    names = []
    for pen in (_shirt, _mug, _bottle, _chair, _book, _lamp, _shoe):
        for number in range(_OF_EACH):
            picture = Image.new("RGB", (_SIDE, _SIDE), "white")
            pen(ImageDraw.Draw(picture), chance.choice(_COLOURS))
            side = chance.randint(150, 220)
            turned = picture.rotate(chance.randint(-8, 8), fillcolor="white").resize((side, side))
            place = chance.randint(0, _SIDE - side), chance.randint(0, _SIDE - side)
            placed = Image.new("RGB", (_SIDE, _SIDE), "white")
            placed.paste(turned, place)
            names.append(f"{pen.__name__.removeprefix('_')}-{number}.png")
            placed.save(folder / names[-1])
    return names


def _shirt(draw: ImageDraw.ImageDraw, colour: str) -> None:
    sleeves = [(70, 50), (10, 100), (40, 130), (68, 105), (68, 210)]
    mirrored = [(_SIDE - x, y) for x, y in reversed(sleeves)]
    draw.polygon([*sleeves, *mirrored], fill=colour, outline="black")
    draw.ellipse((95, 30, 145, 68), fill="white", outline="black")


def _mug(draw: ImageDraw.ImageDraw, colour: str) -> None:
    draw.ellipse((140, 85, 215, 165), outline=colour, width=16)
    draw.rounded_rectangle((50, 60, 170, 200), 18, fill=colour, outline="black")
    draw.ellipse((50, 45, 170, 78), fill="gainsboro", outline="black")


def _bottle(draw: ImageDraw.ImageDraw, colour: str) -> None:
    draw.rectangle((104, 20, 136, 90), fill=colour, outline="black")
    draw.rounded_rectangle((80, 75, 160, 225), 24, fill=colour, outline="black")
    draw.rectangle((84, 125, 156, 180), fill="ivory", outline="black")
    draw.rectangle((100, 10, 140, 26), fill="black")


def _chair(draw: ImageDraw.ImageDraw, colour: str) -> None:
    for x in (70, 160):
        draw.rectangle((x, 20, x + 12, 225), fill=colour, outline="black")
    for y in (35, 60, 85):
        draw.rectangle((70, y, 172, y + 12), fill=colour, outline="black")
    draw.polygon([(60, 130), (182, 130), (200, 155), (42, 155)], fill=colour, outline="black")
    for x in (46, 186):
        draw.rectangle((x, 155, x + 10, 232), fill=colour, outline="black")


def _book(draw: ImageDraw.ImageDraw, colour: str) -> None:
    draw.polygon([(60, 40), (180, 40), (195, 55), (195, 220), (60, 220)], fill="ivory")
    draw.rectangle((50, 30, 180, 210), fill=colour, outline="black")
    draw.rectangle((50, 30, 66, 210), fill="black")
    for y in (70, 90, 110):
        draw.line((85, y, 160, y), fill="white", width=6)


def _lamp(draw: ImageDraw.ImageDraw, colour: str) -> None:
    draw.polygon([(85, 20), (155, 20), (195, 110), (45, 110)], fill=colour, outline="black")
    draw.rectangle((115, 110, 125, 205), fill="black")
    draw.ellipse((75, 195, 165, 225), fill="dimgray", outline="black")


def _shoe(draw: ImageDraw.ImageDraw, colour: str) -> None:
    upper = [(20, 90), (80, 80), (125, 130), (205, 145), (225, 180), (20, 180)]
    draw.polygon(upper, fill=colour, outline="black")
    draw.rectangle((15, 180, 230, 200), fill="whitesmoke", outline="black")
    for x in range(90, 150, 18):
        draw.line((x, 95 + (x - 90) // 2, x + 16, 85 + (x - 90) // 2 + 25), fill="white", width=5)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
