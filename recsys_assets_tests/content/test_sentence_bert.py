import numpy as np
import pytest

from recsys_assets.content.encoder import MAX_TOKENS, MissingWeights, SentenceBert, tokenizer
from recsys_assets.settings import load_settings

PACKAGED = load_settings().packaged_data


@pytest.fixture(scope="module")
def encoder():
    return SentenceBert(PACKAGED)


def test_vectors_are_finite_and_of_unit_norm(encoder):
    embeddings = encoder.encode(["Cat Treats 3 oz", "", "ünïcødé 茶 🍵", "long " * 1000])

    assert embeddings.shape == (4, 384)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_texts_become_the_tokens_that_the_model_was_trained_with():
    # The numbers are those of the tokenizer that is published with the model.
    tokens = tokenizer()

    assert tokens.encode("Crème brûlée, 2 pk!").ids == [
        *(101, 13675, 21382, 7987, 9307, 2063, 1010, 1016, 1052, 2243, 999, 102)
    ]
    assert tokens.encode("unaffable").ids == [101, 14477, 20961, 3468, 102]
    assert len(tokens.encode("word " * 400).ids) == MAX_TOKENS


def test_meaning_decides_the_cosine(encoder):
    tea, coffee, screws = encoder.encode(["green tea", "ground coffee", "wood screws"])

    assert tea @ coffee > tea @ screws + 0.1


def test_a_vector_does_not_depend_on_its_batch(encoder):
    texts = [f"{'very ' * (n % 5)}good cheese number {n}" for n in range(70)]

    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])

    np.testing.assert_allclose((together * alone).sum(axis=1), 1, atol=1e-4)


def test_one_version_for_the_same_files(encoder):
    assert encoder.version == SentenceBert(PACKAGED, threads=1).version
    assert encoder.version.startswith("all-MiniLM-L6-v2-int8@")


def test_nothing_to_encode(encoder):
    assert encoder.encode([]).shape == (0, 384)


def test_missing_weights_name_file_and_remedy(tmp_path):
    with pytest.raises(MissingWeights, match=r"model\.onnx does not exist; .*RECSYS_PACKAGED_DATA"):
        SentenceBert(tmp_path)
