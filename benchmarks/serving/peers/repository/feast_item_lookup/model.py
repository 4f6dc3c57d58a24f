"""Triton model `feast_item_lookup`: features of the candidates, from Feast or from the cache."""

from benchmarks.serving.peers.candidate_stages import ItemLookup
from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> ItemLookup:
        """The stage of the release that the options name."""
        return ItemLookup.load(options)
