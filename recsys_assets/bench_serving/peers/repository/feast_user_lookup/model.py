"""Triton model `feast_user_lookup`: the user's features, live from Feast."""

from recsys_assets.bench_serving.peers.options import Options
from recsys_assets.bench_serving.peers.query_stages import UserLookup
from recsys_assets.bench_serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> UserLookup:
        """The stage of the release that the options name."""
        return UserLookup.load(options)
