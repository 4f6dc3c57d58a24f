import io
import os
import pickle

import numpy as np
import pytest

from recsys_assets.content.efficientnet import read_weights


def weights_file(tmp_path, tensors, storages):
    """A file as PyTorch wrote it before 1.6; tensors are (storage, offset, shape, strides)."""
    file = io.BytesIO()
    for header in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(header, file, protocol=2)
    file.write(pickled(tensors))
    pickle.dump(list(storages), file, protocol=2)
    for values in storages.values():
        file.write(len(values).to_bytes(8, "little") + np.float32(values).tobytes())
    path = tmp_path / "weights.pth"
    path.write_bytes(file.getvalue())
    return path


def pickled(tensors):
    """The pickle of named tensors, by its opcodes, as the classes in it are not installed."""
    entries = b"".join(
        text(name)
        + b"ctorch._utils\n_rebuild_tensor_v2\n("
        + (b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(storage) + b"tQ")
        + (number(offset) + numbers(shape) + numbers(strides) + b"tR")
        for name, (storage, offset, shape, strides) in tensors.items()
    )
    return b"\x80\x02}(" + entries + b"u."


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def number(value):
    return b"J" + value.to_bytes(4, "little", signed=True)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def test_a_tensor_lies_in_its_storage_as_its_strides_say(tmp_path):
    tensors = {
        "in_order": ("one", 0, (2, 3), (3, 1)),
        "by_columns": ("one", 0, (2, 3), (1, 2)),
        "from_the_third_on": ("two", 2, (2,), (1,)),
    }
    file = weights_file(tmp_path, tensors, {"one": range(6), "two": range(10, 14)})

    found = read_weights(file)

    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "in_order": [[0, 1, 2], [3, 4, 5]],
        "by_columns": [[0, 2, 4], [1, 3, 5]],
        "from_the_third_on": [12, 13],
    }


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    file = weights_file(tmp_path, {"wide": ("one", 1, (2, 3), (3, 1))}, {"one": range(6)})

    with pytest.raises(ValueError, match="no weights as PyTorch saved them"):
        read_weights(file)


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("place", [0, 3])
def test_a_file_runs_no_code(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    parts = [0, 0, 0, {}, []]
    parts[place] = Harm()
    file = tmp_path / "weights.pth"
    file.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts))

    with pytest.raises(ValueError, match="no weights as PyTorch saved them"):
        read_weights(file)

    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("data", [b"", b"no weights", b"PK\x03\x04"])
def test_another_file_is_refused(tmp_path, data):
    file = tmp_path / "weights.pth"
    file.write_bytes(data)

    with pytest.raises(ValueError, match="no weights as PyTorch saved them"):
        read_weights(file)
