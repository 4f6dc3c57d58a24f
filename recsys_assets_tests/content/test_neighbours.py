import io

import numpy as np
import pytest
from PIL import Image

from recsys_assets.content.neighbours import contact_sheet, nearest

EMBEDDINGS = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)


def test_the_nearest_leave_out_the_row_itself():
    found = nearest(EMBEDDINGS, examples=2, neighbours=1)

    assert [(row, others[0][0]) for row, others in found] == [(0, 1), (2, 1)]
    assert found[0][1][0][1] == pytest.approx(0.8)


def test_a_single_row_has_no_neighbour():
    assert nearest(np.ones((1, 1), np.float32), examples=6, neighbours=3) == [(0, [])]


def test_a_sheet_shows_each_picture_beside_those_nearest_to_it():
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]

    png = contact_sheet(
        EMBEDDINGS, lambda row: np.full((4, 4, 3), colours[row], np.uint8), examples=2, neighbours=2
    )

    sheet = Image.open(io.BytesIO(png)).convert("RGB")
    columns, lines = (40, 130, 200), (40, 110)
    seen = [[colours.index(sheet.getpixel((x, y))) for x in columns] for y in lines]
    assert seen == [[0, 1, 2], [2, 1, 0]]
