"""Requests as bytes and bytes as answers, so that the load generator has next to nothing to do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.serving.requests import Request

METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Terms:
    """How a request is sent.

    Attributes:
        priority: Triton's; 1 is the highest, 0 leaves it to the model's default.
        timeout_us: how long it may wait in the queue, microseconds; 0 for the model's default.
    """

    priority: int = 0
    timeout_us: int = 0


@dataclass(frozen=True)
class Reply:
    """What is needed of an answer."""

    release: int
    degraded: bool
    items: int


def encode(
    requests: Sequence[Request], terms: Sequence[Terms], model: str, run: str
) -> list[bytes]:
    """Serialised `ModelInferRequest`s; their ids begin with `run` and are no two the same.

    The ids are no probes': the answers are logged, as those to visitors are.
    """
    return [
        _message(request, term, model, f"{run}-{number}")
        for number, (request, term) in enumerate(zip(requests, terms, strict=True))
    ]


def decode(response: bytes) -> Reply:
    """Of a serialised `ModelInferResponse` of a model with the outputs of `recommend`."""
    from tritonclient.grpc import service_pb2

    answer = service_pb2.ModelInferResponse.FromString(response)
    raw = {
        output.name: content
        for output, content in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }
    return Reply(
        release=int(np.frombuffer(raw["release"], "<i8")[0]),
        degraded=bool(raw["degraded"][0]),
        items=_strings(raw["item_id"]),
    )


def _message(request: Request, terms: Terms, model: str, request_id: str) -> bytes:
    from tritonclient.grpc import service_pb2

    message = service_pb2.ModelInferRequest(model_name=model, id=request_id)
    if terms.priority:
        message.parameters["priority"].uint64_param = terms.priority
    if terms.timeout_us:
        message.parameters["timeout"].int64_param = terms.timeout_us
    for name, datatype, content in (
        ("user_id", "BYTES", _string(request.user_id)),
        ("device", "BYTES", _string(request.device)),
        ("timestamp", "INT64", request.timestamp.to_bytes(8, "little", signed=True)),
        ("k", "INT32", request.k.to_bytes(4, "little", signed=True)),
    ):
        message.inputs.add(name=name, datatype=datatype, shape=[1, 1])
        message.raw_input_contents.append(content)
    return bytes(message.SerializeToString())


def _string(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(4, "little") + encoded


def _strings(content: bytes) -> int:
    """How many strings of a BYTES tensor are not empty."""
    position = found = 0
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "little")
        position += 4 + length
        found += length > 0
    return found
