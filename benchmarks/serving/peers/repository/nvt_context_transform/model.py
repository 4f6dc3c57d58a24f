"""Triton model `nvt_context_transform`: the request's context, encoded."""

from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.query_stages import ContextTransform
from benchmarks.serving.peers.triton_model import PeerModel


class TritonPythonModel(PeerModel):
    """A step of the case study's ensemble."""

    @staticmethod
    def load(options: Options) -> ContextTransform:
        """The stage of the release that the options name."""
        return ContextTransform.load(options)
