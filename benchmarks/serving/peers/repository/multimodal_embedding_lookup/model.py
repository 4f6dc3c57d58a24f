"""Triton model `multimodal_embedding_lookup`: embeddings of the candidates."""

from benchmarks.serving.peers.candidate_stages import EmbeddingLookup
from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> EmbeddingLookup:
        """The stage of the release that the options name."""
        return EmbeddingLookup.load(options)
