"""Triton model `softmax_sampling`: the candidates to show, in order."""

from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.ranking_stages import SoftmaxSampling
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> SoftmaxSampling:
        """The stage of the release that the options name."""
        return SoftmaxSampling.load(options)
