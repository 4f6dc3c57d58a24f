"""What a release takes of a pod, held against what was measured of one."""

import re

import pytest

from recsys_assets.releases.rendering import TEMPLATES
from recsys_assets.rollout import fleet
from recsys_assets.rollout.fleet import PodSize, misfit

MB, MIB = 10**6, 1 << 20
POD = PodSize(memory=3 << 30, models=2 << 30)
DEMO = 217 * MB  # files of the demo's release; 423 MiB in each process (docs/results/quantized.md)


def of_size(size: int) -> dict[str, dict[str, dict[str, int]]]:
    return {"files": {"a": {"bytes": size - 1}, "b": {"bytes": 1}}}


def test_the_demos_release_fits_into_the_pods_of_the_manifests():
    assert misfit(1, of_size(DEMO), POD) == ""


def test_a_process_takes_what_was_measured():
    process = fleet._PROCESS_BYTES + fleet._PROCESS_BYTES_PER_FILE_BYTE * DEMO
    assert process == pytest.approx(423 * MIB, rel=0.02)


def test_there_are_as_many_processes_as_the_served_model_has():
    config = (TEMPLATES / "pipeline/config.pbtxt").read_text()
    assert f"instance_group [ {{ count: {fleet._PROCESSES} " in config


@pytest.mark.parametrize(
    ("size", "pod", "told"),
    [
        (2 * DEMO, POD, "3,546 MiB of memory in a pod that has 3,072: give .*RECSYS_TRITON_MEMORY"),
        (DEMO, PodSize(3 << 30, 512 * MIB), "621 MiB of disk .* 512: give .*RECSYS_TRITON_MODELS"),
    ],
)
def test_what_is_too_large_is_told_with_the_remedy(size, pod, told):
    assert re.search(f"release 7 takes about {told}", misfit(7, of_size(size), pod))
