import numpy as np
import pytest

from recsys_assets.content.catalogue import encode_texts
from recsys_assets.storage import Store
from recsys_assets_tests.content.hashing_encoder import HashingEncoder

TEXTS = [f"text {n}" for n in range(40)]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path.as_uri())


def expected(encoder, texts):
    return np.stack([encoder.vector(text) for text in texts])


def test_vectors_come_in_the_order_of_the_texts(store):
    encoder = HashingEncoder()

    result = encode_texts(TEXTS, encoder, store)

    assert result.newly_encoded == 40
    np.testing.assert_array_equal(result.embeddings, expected(encoder, TEXTS))


def test_a_text_is_encoded_once(store):
    encode_texts(TEXTS, HashingEncoder(), store)
    later = HashingEncoder()

    result = encode_texts(["new", *reversed(TEXTS)], later, store)

    assert later.encoded == ["new"]
    assert result.newly_encoded == 1
    np.testing.assert_array_equal(result.embeddings, expected(later, ["new", *reversed(TEXTS)]))


def test_another_version_encodes_again(store):
    encode_texts(TEXTS, HashingEncoder("hashing@1"), store)
    newer = HashingEncoder("hashing@2")

    result = encode_texts(TEXTS, newer, store)

    assert result.newly_encoded == 40
    np.testing.assert_array_equal(result.embeddings, expected(newer, TEXTS))


def test_a_kill_loses_only_the_shard_in_work(store):
    with pytest.raises(RuntimeError, match="killed"):
        encode_texts(TEXTS, HashingEncoder(fail_on=TEXTS[17]), store)
    again = HashingEncoder()

    result = encode_texts(TEXTS, again, store)

    assert 0 < len(again.encoded) < 40
    np.testing.assert_array_equal(result.embeddings, expected(again, TEXTS))


def test_a_text_given_twice_is_refused(store):
    with pytest.raises(ValueError, match="once"):
        encode_texts(["a", "a"], HashingEncoder(), store)


def test_progress_counts_the_texts_that_are_done(store):
    told = []

    encode_texts(TEXTS, HashingEncoder(), store, lambda done, total: told.append((done, total)))

    assert told == sorted(told)
    assert told[-1] == (40, 40)
