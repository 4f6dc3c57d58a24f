"""A gRPC server in the test's process that answers as `recommend` does, or as it is told to."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from benchmarks.serving.layouts import Running
from benchmarks.serving.wire import METHOD

Answer = Callable[[bytes, grpc.ServicerContext], bytes]

_SERVICE, _, _METHOD_NAME = METHOD.strip("/").rpartition("/")


def response(items: tuple[bytes, ...] = (b"a", b"b", b""), degraded: bool = False) -> bytes:
    message = service_pb2.ModelInferResponse(model_name="recommend")
    strings = b"".join(len(item).to_bytes(4, "little") + item for item in items)
    for name, content in (
        ("item_id", strings),
        ("score", np.zeros(len(items), "<f4").tobytes()),
        ("release", np.array([7], "<i8").tobytes()),
        ("degraded", bytes([degraded])),
    ):
        message.outputs.add(name=name)
        message.raw_output_contents.append(content)
    return message.SerializeToString()


@contextmanager
def serve(answer: Answer, workers: int = 4) -> Iterator[Running]:
    """Serves `answer`, which gets raw requests."""
    server = grpc.server(ThreadPoolExecutor(workers))
    handler = grpc.unary_unary_rpc_method_handler(answer)
    handlers = grpc.method_handlers_generic_handler(_SERVICE, {_METHOD_NAME: handler})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Running(f"127.0.0.1:{port}", "recommend", {})
    finally:
        server.stop(None).wait()
