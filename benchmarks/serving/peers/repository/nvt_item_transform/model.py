"""Triton model `nvt_item_transform`: features of the candidates, encoded."""

from benchmarks.serving.peers.candidate_stages import ItemTransform
from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> ItemTransform:
        """The stage of the release that the options name."""
        return ItemTransform.load(options)
