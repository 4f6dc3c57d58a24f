from recsys_assets.defs.runs.narrated_run import RunFailed
from recsys_assets.defs.runs.progress import Failures


def test_a_failed_run_says_its_causes_and_what_was_not_run():
    failures = Failures({"two_tower": "NoGpu: set RECSYS_TRAINING_GPUS=0"}, ["dlrm", "item_index"])

    assert str(RunFailed(failures, "a1b2")) == (
        "two_tower failed: NoGpu: set RECSYS_TRAINING_GPUS=0\n2 steps that need it were not run"
    )


def test_a_run_that_failed_outside_its_steps_is_named():
    assert "run a1b2 failed" in str(RunFailed(Failures(), "a1b2"))
