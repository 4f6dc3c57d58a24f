"""Triton model `faiss_retrieval`: a query embedding to the nearest items."""

from benchmarks.serving.peers.candidate_stages import Retrieval
from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> Retrieval:
        """The stage of the release that the options name."""
        return Retrieval.load(options)
