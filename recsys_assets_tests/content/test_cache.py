import numpy as np
import pytest

from recsys_assets.content.cache import encode_texts
from recsys_assets.storage import Store
from recsys_assets_tests.content.hashing_encoder import HashingEncoder

TEXTS = [f"text {n}" for n in range(40)]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path.as_uri())


def no_log(_):
    return None


def expected(encoder, texts):
    return np.stack([encoder.vector(text) for text in texts])


def test_vectors_come_in_the_order_of_the_texts(store):
    encoder = HashingEncoder()

    result = encode_texts(TEXTS, encoder, store, no_log)

    assert result.newly_encoded == 40
    np.testing.assert_array_equal(result.embeddings, expected(encoder, TEXTS))


def test_a_text_is_encoded_once(store):
    encode_texts(TEXTS, HashingEncoder(), store, no_log)
    later = HashingEncoder()

    result = encode_texts(["new", *reversed(TEXTS)], later, store, no_log)

    assert later.encoded == ["new"]
    assert result.newly_encoded == 1
    np.testing.assert_array_equal(result.embeddings, expected(later, ["new", *reversed(TEXTS)]))


def test_another_version_encodes_again(store):
    encode_texts(TEXTS, HashingEncoder("hashing@1"), store, no_log)
    newer = HashingEncoder("hashing@2")

    result = encode_texts(TEXTS, newer, store, no_log)

    assert result.newly_encoded == 40
    np.testing.assert_array_equal(result.embeddings, expected(newer, TEXTS))


def test_a_kill_loses_only_the_shard_in_work(store):
    with pytest.raises(RuntimeError, match="killed"):
        encode_texts(TEXTS, HashingEncoder(fail_on=TEXTS[17]), store, no_log)
    again = HashingEncoder()

    result = encode_texts(TEXTS, again, store, no_log)

    assert 0 < len(again.encoded) < 40
    np.testing.assert_array_equal(result.embeddings, expected(again, TEXTS))


def test_a_text_given_twice_is_refused(store):
    with pytest.raises(ValueError, match="once"):
        encode_texts(["a", "a"], HashingEncoder(), store, no_log)


def test_progress_is_told(store):
    lines = []

    encode_texts(TEXTS, HashingEncoder(), store, lines.append)

    assert lines[-1].startswith("40 of 40 texts, 40 newly encoded")
