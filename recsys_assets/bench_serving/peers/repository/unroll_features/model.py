"""Triton model `unroll_features`: query and candidates, joined row by row."""

from recsys_assets.bench_serving.peers.options import Options
from recsys_assets.bench_serving.peers.ranking_stages import Unroll
from recsys_assets.bench_serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> Unroll:
        """The stage of the release that the options name."""
        return Unroll.load(options)
