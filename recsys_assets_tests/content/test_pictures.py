import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from recsys_assets.content import pictures
from recsys_assets.content.pictures import Delivery, PictureFault, path_within, square
from recsys_assets_tests.content.colour_encoder import picture_file

RED, WHITE = [255, 0, 0], [255, 255, 255]


def fault_of(act, *arguments):
    with pytest.raises(PictureFault) as caught:
        act(*arguments)
    return caught.value


def png_that_says(width, height):
    """A picture file of a few bytes that says how large it is."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("image", "path"),
    [
        ("a.jpg", "a.jpg"),
        ("images/ünï code/a#1.jpg", "images/ünï code/a#1.jpg"),
        ("./images//a.jpg", "images/a.jpg"),
        ("100%20.jpg", "100%20.jpg"),
        ("file:///shop/a%20b.jpg", "a b.jpg"),
        ("../a.jpg", None),
        ("images/../../a.jpg", None),
        ("/shop/a.jpg", None),
        ("file:///shop/../etc/passwd", None),
        ("file:///shop/%2e%2e/etc/passwd", None),
        ("file:///shop2/a.jpg", None),
        ("http://169.254.169.254/a.jpg", None),
        ("s3://shop/a.jpg", None),
        ("a\0.jpg", None),
        (".", None),
    ],
)
def test_a_picture_lies_within_its_delivery(image, path):
    assert path_within("file:///shop", image) == path


def test_the_url_of_an_object_is_its_key_as_it_is():
    assert path_within("s3://shop/data", "s3://shop/data/a%20b.jpg") == "a%20b.jpg"
    assert path_within("s3://shop/data", "s3://other/data/a.jpg") is None


def test_what_is_delivered_is_found_and_read(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"12345")
    delivery = Delivery.look(tmp_path.as_uri(), ["a.jpg", "b.jpg", "../c.jpg"])

    path, state = delivery.find("a.jpg")

    assert state.size == 5
    assert delivery.read(path) == b"12345"
    assert fault_of(delivery.find, "b.jpg").kind == "missing"
    assert fault_of(delivery.find, "../c.jpg").kind == "outside"
    (tmp_path / "a.jpg").unlink()
    assert fault_of(delivery.read, path).kind == "missing"


def test_a_file_of_too_many_bytes_is_not_read(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(pictures.MAX_BYTES + 1)
    delivery = Delivery.look(tmp_path.as_uri(), ["a.jpg"])

    fault = fault_of(delivery.find, "a.jpg")

    assert (fault.kind, "33,554,433" in fault.reason) == ("too_large", True)


@pytest.mark.parametrize("form", pictures.FORMATS)
def test_a_picture_is_padded_to_a_white_square(form):
    found = square(picture_file((255, 0, 0), (40, 20), form), 8)

    assert (found.shape, found.dtype) == ((8, 8, 3), np.uint8)
    np.testing.assert_allclose(found[4, 4], RED, atol=12)
    np.testing.assert_allclose(found[0, 4], WHITE, atol=12)
    np.testing.assert_allclose(found[7, 4], WHITE, atol=12)


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("L", 128, [128] * 3),
        ("1", 0, [0] * 3),
        ("I;16", 128 << 8, [128] * 3),
        ("LA", (128, 255), [128] * 3),
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBA", (255, 0, 0, 255), RED),
        ("P", 0, [0] * 3),
    ],
)
def test_every_kind_of_colour_becomes_red_green_and_blue(mode, colour, seen):
    assert square(picture_file(colour, mode=mode), 4)[2, 2].tolist() == seen


def test_ink_becomes_light():
    found = square(picture_file((0, 255, 255, 0), (16, 16), "JPEG", "CMYK"), 4)

    np.testing.assert_allclose(found[2, 2], RED, atol=8)


def test_a_picture_that_was_taken_upright_is_upright():
    turned = Image.new("RGB", (40, 40), "blue")
    turned.paste((255, 0, 0), (0, 0, 40, 20))
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by half
    file = io.BytesIO()
    turned.save(file, "JPEG", exif=exif, quality=95)

    found = square(file.getvalue(), 8)

    np.testing.assert_allclose(found[7, 4], RED, atol=12)


def test_of_a_moving_picture_the_first_frame_counts():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])

    assert square(file.getvalue(), 4)[2, 2].tolist() == RED


def test_a_large_picture_is_seen_whole():
    wide = Image.new("RGB", (400, 100), "red")
    wide.paste((0, 0, 255), (200, 0, 400, 100))
    file = io.BytesIO()
    wide.save(file, "PNG")

    found = square(file.getvalue(), 8)

    np.testing.assert_allclose(found[4, [0, 7]], [RED, [0, 0, 255]], atol=12)


def test_a_photograph_is_decoded_no_larger_than_it_is_looked_at(monkeypatch):
    decoded = []

    def remembered(picture, size):
        decoded.append(picture.size)
        return picture

    monkeypatch.setattr(pictures, "_on_white", remembered)
    square(picture_file((255, 0, 0), (4096, 2048), "JPEG"), 64)

    assert decoded == [(512, 256)]  # the decoder halves it until it is less than twice too large


@pytest.mark.parametrize("size", [(5_000, 5_001), (60_000, 60_000)])
def test_a_picture_of_too_many_pixels_is_not_decoded(size):
    fault = fault_of(square, png_that_says(*size), 8)

    assert fault.kind == "too_large"
    assert "at most 25,000,000" in fault.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no picture in one of JPEG"),
        (b"no picture", "no picture in one of JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture in one of JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture in one of JPEG"),
        (picture_file("red", form="TIFF"), "no picture in one of JPEG"),
        (png_that_says(50, 50), "cannot be decoded"),
        (picture_file("red", (64, 64), "JPEG")[:-200], "cannot be decoded"),
    ],
    ids=["empty", "text", "svg", "postscript", "tiff", "too few pixels", "cut off"],
)
def test_what_is_no_picture_is_broken(data, reason):
    fault = fault_of(square, data, 8)

    assert fault.kind == "broken"
    assert reason in fault.reason


@pytest.mark.parametrize("form", pictures.FORMATS)
def test_whatever_the_bytes_are_it_is_a_square_or_a_fault(form):
    whole = picture_file((200, 30, 90), (24, 17), form)
    chance = random.Random(form)
    outcomes = set()
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            outcomes.add(square(bytes(data[: chance.randint(1, len(data))]), 4).shape)
        except PictureFault as fault:
            outcomes.add(fault.kind)

    assert outcomes <= {(4, 4, 3), *pictures.FAULTS}
    assert "broken" in outcomes
