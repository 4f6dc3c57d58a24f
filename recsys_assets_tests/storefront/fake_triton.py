"""A server in the test's process that answers visitors as it is told to, and probes always."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from recsys_assets_tests.benchmarks.serving import fake_server


def response(items: tuple[bytes, ...] = (b"a", b"b", b"")) -> bytes:
    """An answer of release 7; the empty item is a place that none was found for."""
    message = service_pb2.ModelInferResponse(model_name="recommend")
    strings = b"".join(len(item).to_bytes(4, "little") + item for item in items)
    for name, datatype, count, content in (
        ("item_id", "BYTES", len(items), strings),
        ("score", "FP32", len(items), np.zeros(len(items), "<f4").tobytes()),
        ("release", "INT64", 1, np.array([7], "<i8").tobytes()),
        ("degraded", "BOOL", 1, b"\0"),
    ):
        message.outputs.add(name=name, datatype=datatype, shape=[1, count])
        message.raw_output_contents.append(content)
    return bytes(message.SerializeToString())


class FakeTriton:
    """Keeps the requests of visitors.

    Attributes:
        asked: so far.
        failures: arguments of `abort`, one for each of the next requests.
        hold: called before a visitor is answered.
    """

    def __init__(self, hold: Callable[[], Any] = lambda: None) -> None:
        self.asked: list[service_pb2.ModelInferRequest] = []
        self.failures: list[tuple[grpc.StatusCode, str]] = []
        self.hold = hold
        self.probes = 0

    def answer(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        request = service_pb2.ModelInferRequest.FromString(message)
        if request.id.startswith("probe:"):
            self.probes += 1
            return response()
        self.asked.append(request)
        self.hold()
        if self.failures:
            context.abort(*self.failures.pop(0))
        return response()

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serves; yields the address."""
        server: AbstractContextManager[Any] = fake_server.serve(self.answer)
        with server as running:
            yield running.grpc
