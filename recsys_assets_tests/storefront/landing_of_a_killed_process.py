"""Lands once, and is killed before a step: `python -m ... STORE_URL SOURCE_URL STEP`."""

import os
import signal
import sys

import redis
from prometheus_client import CollectorRegistry

from recsys_assets.storefront import event_files
from recsys_assets.storefront.event_landing import Landing, LandingMetrics
from recsys_assets.storefront.event_stream import EventStream


def killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(store_url: str, source_url: str, step: str) -> None:
    stream = EventStream(redis.Redis.from_url(store_url))
    write = event_files._write_object
    written: list[str] = []

    def write_then_die(*arguments: object) -> None:
        write(*arguments)  # type: ignore[arg-type]
        written.append("")
        if step == f"file {len(written)}":
            killed()

    event_files._write_object = write_then_die
    if step == "read":
        stream.landed_before = killed  # type: ignore[method-assign, assignment]
    if step == "remember":
        stream.remember = killed  # type: ignore[method-assign, assignment]
    if step == "settle":
        stream.settle = killed  # type: ignore[method-assign, assignment]
    Landing(stream, source_url, LandingMetrics(CollectorRegistry())).land(3)


if __name__ == "__main__":
    main(*sys.argv[1:])
