"""Triton model `query_tower`: encoded user and context to query embeddings."""

from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.query_stages import QueryTowers
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> QueryTowers:
        """The stage of the release that the options name."""
        return QueryTowers.load(options)
