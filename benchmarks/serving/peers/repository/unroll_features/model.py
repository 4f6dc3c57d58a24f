"""Triton model `unroll_features`: query and candidates, joined row by row."""

from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.ranking_stages import Unroll
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> Unroll:
        """The stage of the release that the options name."""
        return Unroll.load(options)
