"""Triton model `query_tower`: encoded user and context to query embeddings."""

from recsys_assets.bench_serving.peers.options import Options
from recsys_assets.bench_serving.peers.query_stages import QueryTowers
from recsys_assets.bench_serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> QueryTowers:
        """The stage of the release that the options name."""
        return QueryTowers.load(options)
