"""The small HTTP/2 client, against the server of Python's gRPC library."""

from multiprocessing.connection import wait

import grpc
import pytest

from benchmarks.serving.http2 import OK, BrokenConnection, Connection, read_headers
from benchmarks.serving.wire import METHOD
from recsys_assets_tests.benchmarks.serving.fake_server import serve
from recsys_assets_tests.waiting import LIMIT


def finished(connection, count):
    calls = []
    while len(calls) < count:
        assert wait([connection], LIMIT), f"{len(calls)} of {count} calls ended"
        calls += connection.receive()
    return {call.number: call for call in calls}


def test_calls_get_their_own_answers():
    with serve(lambda message, _: message[::-1]) as running:
        connection = Connection(running.grpc, METHOD, deadline_ms=5000)
        for number in range(200):
            connection.send(number, f"message {number}".encode())
        calls = finished(connection, 200)
    assert all(call.status == OK for call in calls.values())
    assert calls[17].response == b"71 egassem"


def test_long_answers_come_whole():
    with serve(lambda message, _: message * 500_000) as running:
        connection = Connection(running.grpc, METHOD, deadline_ms=5000)
        connection.send(1, b"abc")
        assert finished(connection, 1)[1].response == b"abc" * 500_000


def test_an_error_has_its_code_and_message():
    def refuse(_, context):
        context.abort(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size: 50 %, überall")

    with serve(refuse) as running:
        connection = Connection(running.grpc, METHOD, deadline_ms=5000)
        connection.send(1, b"")
        call = finished(connection, 1)[1]
    assert (call.status, call.message) == (14, "Exceeds maximum queue size: 50 %, überall")


def test_a_server_that_goes_away_breaks_the_connection():
    with serve(lambda message, _: message) as running:
        connection = Connection(running.grpc, METHOD, deadline_ms=5000)
        connection.send(1, b"")
        finished(connection, 1)
    with pytest.raises(BrokenConnection):
        while True:
            list(connection.receive())


def test_calls_without_an_answer_are_given_back():
    with serve(lambda message, _: message) as running:
        connection = Connection(running.grpc, METHOD, deadline_ms=5000)
        connection.send(5, b"")
        assert [call.number for call in connection.abandon()] == [5]


def test_headers_of_a_peer_without_a_table():
    literal = b"\x00\x0bgrpc-status\x0214"
    indexed_name = b"\x0f\x10\x10application/grpc"
    assert list(read_headers(b"\x20\x88" + indexed_name + literal)) == [
        (b"", b"application/grpc"),
        (b"grpc-status", b"14"),
    ]


@pytest.mark.parametrize("block", [b"\xbe", b"\x00\x81\xff\x00"], ids=["indexed", "compressed"])
def test_headers_that_were_not_asked_for_are_refused(block):
    with pytest.raises(BrokenConnection):
        list(read_headers(block))
