"""How long the whole graph takes with its store on S3, against a folder.

The S3 server is moto's, in a process of its own on this machine: it shares the cores, and answers
faster than a network. The graph is that of the configured source, from raw events to answers.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.machine import describe_machine
from recsys_assets.runtime.processes import free_addresses
from recsys_assets.runtime.waiting import wait_for
from recsys_assets.settings import load_settings

BUCKET = "shop"


def main() -> None:
    """Builds the graph on both in turns, and prints the times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=2, help="builds on each (default: 2)")
    turns = parser.parse_args().turns
    machine = describe_machine()
    _say(f"{machine['cpu']}, {machine['cores']} cores, load before {machine['load_before']}")
    _say(f"source {load_settings().source}, everything of it built anew each time")
    seconds: dict[str, list[float]] = {"file": [], "s3": []}
    with tempfile.TemporaryDirectory(prefix="bench-storage-") as folder, s3_server() as s3:
        for turn in range(turns):
            for kind in seconds:
                name = f"{kind}-{turn}"
                storage = {"RECSYS_STORAGE": f"s3://{BUCKET}/{name}"} if kind == "s3" else {}
                seconds[kind].append(build(Path(folder) / name, {**s3, **storage}))
                _say(f"{kind:5} turn {turn + 1}: {seconds[kind][-1]:.1f} s")
    for kind, found in seconds.items():
        _say(f"{kind:5} {min(found):.1f} to {max(found):.1f} s")
    middle = {kind: statistics.median(found) for kind, found in seconds.items()}
    _say(f"s3 / file: {middle['s3'] / middle['file']:.2f} (medians of {turns})")


def build(home: Path, variables: dict[str, str]) -> float:
    """Runs `recsys demo` in a deployment of its own; returns its seconds.

    Raises:
        RuntimeError: it failed; the message ends with the last of its log.
    """
    store, *triton = map(str, free_addresses(4))
    names = ("RECSYS_TRITON_HTTP", "RECSYS_TRITON_GRPC", "RECSYS_TRITON_METRICS")
    environment = {
        **os.environ,
        "RECSYS_HOME": str(home),
        "RECSYS_ONLINE_STORE_URL": f"redis://{store}/0",
        **dict(zip(names, triton, strict=True)),
        **variables,
    }
    recsys = [sys.executable, "-W", "ignore", "-c", "from recsys_assets.cli import main; main()"]
    started = time.monotonic()
    try:
        done = subprocess.run([*recsys, "demo"], env=environment, capture_output=True, text=True)
        seconds = time.monotonic() - started
    finally:
        subprocess.run([*recsys, "down"], env=environment, capture_output=True, check=False)
    if done.returncode:
        said = f"{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
        raise RuntimeError(f"recsys demo in {home} failed: {said}")
    return seconds


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """An S3 server on this machine with an empty bucket; yields the environment that finds it.

    Raises:
        ModuleNotFoundError: moto is not installed: run `make setup-test`.
    """
    import boto3
    import moto.server  # noqa: F401 - said here and not in a process that ends at once
    from botocore.exceptions import EndpointConnectionError

    (address,) = free_addresses(1)
    environment = {
        "AWS_ENDPOINT_URL": f"http://{address}",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "moto.server", "-H", address.host, "-p", str(address.port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name=environment["AWS_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

        def has_bucket() -> bool:
            try:
                client.create_bucket(Bucket=BUCKET)
            except EndpointConnectionError:
                if process.poll() is not None:
                    raise
                return False
            return True

        wait_for(has_bucket, "the S3 server", load_settings().wait_seconds)
        yield environment
    finally:
        process.terminate()
        process.wait()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
