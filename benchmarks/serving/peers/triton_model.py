"""What the peer's `model.py` files share: tensors in, one stage, tensors out, one request a time.

Runs in Triton's Python stub only, which provides `triton_python_backend_utils`. Like the case
study's models, and unlike ours, it never computes two requests together.
"""

import gc
import json
from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np

from benchmarks.serving.peers.options import Options

Tensors = dict[str, np.ndarray]


class Stage(Protocol):
    """One of `query_stages`, `candidate_stages` or `ranking_stages`."""

    def run(self, inputs: Tensors) -> Tensors:
        """From the inputs of the Triton model to its outputs, without the batch dimension."""


class PeerModel(ABC):
    """A Triton model around one stage."""

    @staticmethod
    @abstractmethod
    def load(options: Options) -> Stage:
        """The stage; each model says which."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the stage, as the options beside the model repository say."""
        import triton_python_backend_utils as backend

        self._backend = backend
        config = json.loads(args["model_config"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._dtypes = {
            tensor["name"]: backend.triton_string_to_numpy(tensor["data_type"])
            for tensor in config["output"]
        }
        self._stage = self.load(Options.of_model(args["model_repository"]))
        # As in ours: the collector need not look at what lives as long as the process.
        gc.collect()
        gc.freeze()

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request; an error fails them all, and Triton tells the clients."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        backend = self._backend
        outputs = self._stage.run(
            {
                name: backend.get_input_tensor_by_name(request, name).as_numpy()[0]
                for name in self._inputs
            }
        )
        return backend.InferenceResponse(
            [
                backend.Tensor(name, np.ascontiguousarray(outputs[name][None], dtype=dtype))
                for name, dtype in self._dtypes.items()
            ]
        )
