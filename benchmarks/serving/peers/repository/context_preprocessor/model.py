"""Triton model `context_preprocessor`: the context of a request, made complete."""

from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.query_stages import ContextPreprocessor
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> ContextPreprocessor:
        """The stage of the release that the options name."""
        return ContextPreprocessor.load(options)
