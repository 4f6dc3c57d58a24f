"""Triton model `nvt_user_transform`: the user's features, encoded."""

from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.query_stages import UserTransform
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> UserTransform:
        """The stage of the release that the options name."""
        return UserTransform.load(options)
