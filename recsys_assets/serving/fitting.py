"""Whether a release fits into the pods that are to serve it, said before they try.

One that does not is killed for its memory while it loads, or evicted for its disk, again and again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MIB = 1 << 20
# The server itself, its response cache, and shared memory of its processes.
_SERVER_BYTES = (250 + 64 + 128) * _MIB
# What a model process takes (docs/results/quantized.md; `capacity_inputs.py`): its libraries, and
# for each byte of a release's files.
_PROCESS_BYTES = 76e6
_PROCESS_BYTES_PER_FILE_BYTE = 1.7
# `instance_group` of triton_repo/pipeline/config.pbtxt.
_PROCESSES = 2
_LOADED = 2  # the one that answers, and the one that is coming or was before
_LAID = 3  # both of these on the way from one to the other


@dataclass(frozen=True)
class PodSize:
    """What a Triton pod may use: its memory limit, and its volume of models, in bytes."""

    memory: int
    models: int


def misfit(release: int, manifest: Mapping[str, Any], pod: PodSize) -> str:
    """Why a release does not fit into a pod, with the remedy; empty if it does.

    Args:
        release: its number.
        manifest: `Releases.manifest(release)`.
        pod: what there is.
    """
    size = sum(file["bytes"] for file in manifest.get("files", {}).values())
    process = _PROCESS_BYTES + _PROCESS_BYTES_PER_FILE_BYTE * size
    memory = _SERVER_BYTES + _LOADED * _PROCESSES * process
    if memory > pod.memory:
        return _named(release, "memory", memory, pod.memory, "RECSYS_TRITON_MEMORY")
    if _LAID * size > pod.models:
        return _named(release, "disk", _LAID * size, pod.models, "RECSYS_TRITON_MODELS")
    return ""


def _named(release: int, what: str, needed: float, there: int, variable: str) -> str:
    return (
        f"release {release} takes about {needed / _MIB:,.0f} MiB of {what} in a pod that has "
        f"{there / _MIB:,.0f}: give Triton's pods more, and {variable} the same, or render it with "
        "int8 embeddings"
    )
