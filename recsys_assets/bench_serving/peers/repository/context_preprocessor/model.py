"""Triton model `context_preprocessor`: the context of a request, made complete."""

from recsys_assets.bench_serving.peers.options import Options
from recsys_assets.bench_serving.peers.query_stages import ContextPreprocessor
from recsys_assets.bench_serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> ContextPreprocessor:
        """The stage of the release that the options name."""
        return ContextPreprocessor.load(options)
