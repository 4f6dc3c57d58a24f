"""Triton model `item_id_decoder`: item ids of the rows to show."""

from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.ranking_stages import IdDecoder
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> IdDecoder:
        """The stage of the release that the options name."""
        return IdDecoder.load(options)
