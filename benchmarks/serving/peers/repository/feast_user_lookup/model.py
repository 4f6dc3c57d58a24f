"""Triton model `feast_user_lookup`: the user's features, live from Feast."""

from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.query_stages import UserLookup
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> UserLookup:
        """The stage of the release that the options name."""
        return UserLookup.load(options)
