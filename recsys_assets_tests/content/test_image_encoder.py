import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from recsys_assets.content.encoder import MissingWeights
from recsys_assets.content.image_encoder import InvalidImageEncoder, open_image_encoder
from recsys_assets.settings import load_settings

PACKAGED = load_settings().packaged_data
CONFIG = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.25, 0.5], "crop_size": 4}

SHAPES = {"pooled": ["n", 3, 1, 1], "image_embeds": ["n", 3], "logits": ["n", 3]}


def write_model(folder, outputs=("image_embeds",), kind=TensorProto.FLOAT, scale=1.0):
    """A model whose vector is the mean of each colour, times a number."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixel_values"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["image_embeds"]),
        helper.make_node("Neg", ["flat"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("pixel_values", kind, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info(name, kind, SHAPES[name]) for name in outputs],
        [numpy_helper.from_array(np.array(scale, helper.tensor_dtype_to_np_dtype(kind)), "scale")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "preprocessor_config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path / "clip")


def squares(*colours):
    return [np.full((4, 4, 3), colour, np.uint8) for colour in colours]


def test_a_model_in_a_folder_sees_pixels_as_its_configuration_says(folder):
    encoder = open_image_encoder(folder, PACKAGED)

    found = encoder.encode(squares((255, 255, 255), (0, 255, 0)))

    expected = np.array([[1, 2, 1], [-1, 2, -1]], np.float32) / np.sqrt(6)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (found.dtype, encoder.dimensions, encoder.size) == (np.float32, 3, 4)
    assert encoder.encode([]).shape == (0, 3)


def test_the_version_follows_model_and_configuration(folder):
    first = open_image_encoder(folder, PACKAGED).version
    again = open_image_encoder(folder, PACKAGED).version
    (folder / "preprocessor_config.json").write_text(json.dumps(CONFIG | {"image_mean": [0, 0, 0]}))
    configured = open_image_encoder(folder, PACKAGED).version
    write_model(folder, scale=2.0)
    other = open_image_encoder(folder, PACKAGED).version

    assert first == again
    assert first.startswith("clip@")
    assert len({first, configured, other}) == 3


def test_of_several_outputs_that_of_clip_counts(folder):
    write_model(folder, ("pooled", "logits", "image_embeds"))

    [found] = open_image_encoder(folder, PACKAGED).encode(squares((255, 255, 255)))

    assert found[0] > 0


def test_without_it_the_first_vector_counts(folder):
    write_model(folder, ("pooled", "logits"))

    [found] = open_image_encoder(folder, PACKAGED).encode(squares((255, 255, 255)))

    assert found[0] < 0


@pytest.mark.parametrize(
    "size", [{"crop_size": {"height": 4, "width": 4}}, {"size": {"shortest_edge": 4}}, {"size": 4}]
)
def test_the_side_is_told_in_several_ways(folder, size):
    config = {name: CONFIG[name] for name in ("image_mean", "image_std")} | size
    (folder / "preprocessor_config.json").write_text(json.dumps(config))

    assert open_image_encoder(folder, PACKAGED).size == 4


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"image_mean": [0.5]}, r"image_mean is \[0.5\]"),
        ({"image_mean": None}, "image_mean is None"),
        ({"image_std": [1, 0, 1]}, "image_std is"),
        ({"image_std": [1, float("nan"), 1]}, "image_std is"),
        ({"crop_size": {"height": 4, "width": 8}}, "the size is"),
        ({"crop_size": "4"}, "the size is '4'"),
        ({"crop_size": 100_000}, "the size is 100000"),
        ({"crop_size": 8}, "it does not take pictures of 8 x 8"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_told(folder, change, what):
    (folder / "preprocessor_config.json").write_text(json.dumps(CONFIG | change))

    with pytest.raises(InvalidImageEncoder, match=what):
        open_image_encoder(folder, PACKAGED)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_configuration_that_is_none_is_told(folder, text):
    (folder / "preprocessor_config.json").write_text(text)

    with pytest.raises(InvalidImageEncoder, match=r"preprocessor_config\.json: it is no JSON"):
        open_image_encoder(folder, PACKAGED)


def test_a_model_that_cannot_be_used_is_told(folder):
    write_model(folder, kind=TensorProto.FLOAT16)
    with pytest.raises(InvalidImageEncoder, match=r"inputs are pixel_values \(tensor\(float16\)\)"):
        open_image_encoder(folder, PACKAGED)

    write_model(folder, ("pooled",))
    with pytest.raises(InvalidImageEncoder, match="outputs are pooled"):
        open_image_encoder(folder, PACKAGED)

    write_model(folder, scale=np.inf)
    with pytest.raises(InvalidImageEncoder, match="of norm inf; export it in float32"):
        open_image_encoder(folder, PACKAGED)

    (folder / "model.onnx").write_bytes(b"no model")
    with pytest.raises(InvalidImageEncoder, match=r"model\.onnx cannot be loaded"):
        open_image_encoder(folder, PACKAGED)


def test_missing_weights_name_file_and_remedy(tmp_path, folder):
    with pytest.raises(MissingWeights, match=r"\.pth does not exist; run `make setup-image-enc"):
        open_image_encoder(None, tmp_path)
    (folder / "model.onnx").unlink()
    with pytest.raises(MissingWeights, match=r"clip/model\.onnx does not exist; .*IMAGE_ENCODER"):
        open_image_encoder(folder, PACKAGED)


def test_the_packaged_model_tells_shapes_and_colours_apart():
    encoder = open_image_encoder(None, PACKAGED)
    pictures = [np.full((224, 224, 3), 255, np.uint8) for _ in range(3)]
    pictures[0][60:160, 60:160] = (200, 30, 30)
    pictures[1][62:164, 62:164] = (200, 40, 30)
    pictures[2][100:110, :, :] = (20, 30, 200)

    first, alike, other = encoder.encode(pictures)

    assert encoder.version.startswith("efficientnet-lite0@")
    assert (encoder.dimensions, encoder.size) == (1280, 224)
    np.testing.assert_allclose([np.linalg.norm(one) for one in (first, alike, other)], 1, atol=1e-5)
    assert first @ alike > first @ other + 0.1
