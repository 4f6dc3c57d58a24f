"""Triton model `filter_seen_items`: candidates, less what the user has bought."""

from benchmarks.serving.peers.candidate_stages import SeenFilter
from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> SeenFilter:
        """The stage of the release that the options name."""
        return SeenFilter.load(options)
