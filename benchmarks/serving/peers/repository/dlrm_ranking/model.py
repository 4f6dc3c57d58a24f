"""Triton model `dlrm_ranking`: scores of the candidates."""

from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.ranking_stages import Ranking
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> Ranking:
        """The stage of the release that the options name."""
        return Ranking.load(options)
