"""Releases of two model processes each, which answer by themselves: for tests of watchdogs."""

import json
import re
from pathlib import Path

from recsys_assets.releases.release import MANIFEST, Releases
from recsys_assets.releases.release_writing import digests
from recsys_assets.triton.repository import PIPELINE, write_configs, write_identity
from recsys_assets_tests.serving.tiny_release import lay_model

DAY = "2017-09-30"
PROCESSES = 2

_MODEL = '''"""Answers every request with as many items as it asks for."""

import numpy as np
import triton_python_backend_utils as backend


class TritonPythonModel:
    def initialize(self, args):
        self.release = int(args["model_version"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        k = backend.get_input_tensor_by_name(request, "k").as_numpy()
        if k[0, 0] < 0:
            return backend.InferenceResponse(error=backend.TritonError("k is negative"))
        shape = (len(k), int(k.max()))
        return backend.InferenceResponse(
            [
                backend.Tensor("item_id", np.full(shape, f"{self.release}".encode(), object)),
                backend.Tensor("score", np.zeros(shape, np.float32)),
                backend.Tensor("degraded", np.zeros((len(k), 1), bool)),
                backend.Tensor("release", np.full((len(k), 1), self.release, np.int64)),
            ]
        )
'''


def publish_twin_release(releases: Releases) -> int:
    """Publishes a release whose model does nothing, in two processes."""
    with releases.new() as draft:
        release = int(draft.version)
        lay_model(draft.path, release, _MODEL)
        _set_processes(draft.path / "templates" / PIPELINE / "config.pbtxt")
        write_identity(draft.path / "models", release)
        write_configs(draft.path / "templates", draft.path / "models", release)
        manifest = {"release": release, "item_features_day": DAY, "files": digests(draft.path)}
        (draft.path / MANIFEST).write_text(json.dumps(manifest))
    return release


def _set_processes(config: Path) -> None:
    text, found = re.subn(r"count: \d+", f"count: {PROCESSES}", config.read_text())
    assert found == 1
    config.write_text(text)
