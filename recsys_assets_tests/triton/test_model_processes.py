"""How many processes a server should run; living and dead ones are tested in `test_healing.py`."""

import os

import psutil
import pytest
import tritonclient.grpc as grpc
from google.protobuf import text_format

from recsys_assets.triton import model_processes


@pytest.fixture
def configured(monkeypatch):
    """Gives the server, which does not run here, a configuration of the model."""

    def configured(text):
        class Client:
            def __init__(self, _):
                pass

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def is_model_ready(self, *_, **__):
                return True

            def get_model_config(self, *_, **__):
                answer = grpc.service_pb2.ModelConfigResponse()
                return text_format.Parse(f"config {{ {text} }}", answer)

        monkeypatch.setattr(grpc, "InferenceServerClient", Client)
        return model_processes.wanted("127.0.0.1:1", 1)

    return configured


def test_so_many_on_the_processors(configured):
    assert configured("instance_group { count: 2 kind: KIND_CPU }") == 2


def test_so_many_on_each_gpu_that_triton_has_found(configured):
    assert configured("instance_group { count: 2 kind: KIND_GPU gpus: [0, 1, 2] }") == 6


def test_one_that_ends_before_it_is_killed_has_ended(monkeypatch):
    class Ending:
        def __init__(self):
            self.pid = os.getpid()  # in a session, as the server's processes are
            stub = "/backends/python/triton_python_backend_stub"
            self.info = {"cmdline": [stub, "/live/pipeline/7/model.py"]}

        def kill(self):
            listed.clear()
            raise psutil.NoSuchProcess(self.pid)

    listed = [Ending()]
    monkeypatch.setattr(psutil, "process_iter", lambda _: list(listed))
    server = os.getsid(0)
    assert model_processes.living(server, 7) == {os.getpid()}

    model_processes.end(server, 7, {os.getpid()}, seconds=1)

    assert model_processes.living(server, 7) == set()
