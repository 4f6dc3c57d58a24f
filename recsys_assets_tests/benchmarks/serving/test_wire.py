import numpy as np
from tritonclient.grpc import service_pb2

from benchmarks.serving.requests import Request
from benchmarks.serving.wire import Reply, Terms, decode, encode
from recsys_assets.pipeline.request_log import is_probe
from recsys_assets_tests.benchmarks.serving.fake_server import response

REQUEST = Request("ann", "web", 1_506_816_000, 10)


PLAIN = Terms()


def sent(terms=PLAIN):
    (payload,) = encode([REQUEST], [terms], "recommend", "bench:run")
    return service_pb2.ModelInferRequest.FromString(payload)


def test_a_request_has_the_inputs_of_recommend():
    message = sent()
    assert message.model_name == "recommend"
    assert [(one.name, one.datatype, list(one.shape)) for one in message.inputs] == [
        ("user_id", "BYTES", [1, 1]),
        ("device", "BYTES", [1, 1]),
        ("timestamp", "INT64", [1, 1]),
        ("k", "INT32", [1, 1]),
    ]
    user, device, timestamp, k = message.raw_input_contents
    assert (user, device) == (b"\x03\0\0\0ann", b"\x03\0\0\0web")
    assert np.frombuffer(timestamp, "<i8").tolist() == [REQUEST.timestamp]
    assert np.frombuffer(k, "<i4").tolist() == [10]


def test_no_two_ids_are_the_same_and_none_is_a_probe():
    payloads = encode([REQUEST] * 3, [Terms()] * 3, "recommend", "bench:run")
    ids = [service_pb2.ModelInferRequest.FromString(payload).id for payload in payloads]
    assert len(set(ids)) == 3
    assert not any(is_probe(request_id) for request_id in ids)


def test_priority_and_timeout_are_parameters_of_triton():
    message = sent(terms=Terms(priority=2, timeout_us=50_000))
    assert message.parameters["priority"].uint64_param == 2
    assert message.parameters["timeout"].int64_param == 50_000
    assert not sent().parameters


def test_an_answer_is_read_as_far_as_needed():
    assert decode(response((b"a", b"b", b""))) == Reply(release=7, degraded=False, items=2)
    assert decode(response((), degraded=True)) == Reply(release=7, degraded=True, items=0)
