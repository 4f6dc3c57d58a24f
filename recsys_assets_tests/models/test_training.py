import os
import signal
import subprocess

import pytest

from recsys_assets.models import training
from recsys_assets.settings import load_settings
from recsys_assets_tests.waiting import LIMIT


def test_the_first_process_of_a_container_ends_when_kubernetes_says_so(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(os, "getppid", lambda: 0)
    try:
        training.end_when_told()
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert ended.value.code == 143


@pytest.mark.integration
def test_a_training_that_was_given_a_gpu_does_not_go_on_without():
    program = "from recsys_assets.models.training import use_gpus as u; u(0); u(1)"
    ended = subprocess.run(
        [load_settings().models_python, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )

    assert ended.returncode == 1
    assert "was given 1 GPUs and TensorFlow sees 0" in ended.stderr
