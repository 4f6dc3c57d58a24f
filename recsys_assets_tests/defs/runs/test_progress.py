"""What a person sees of a run: steps, failed checks, and why it failed."""

import io
import sys

import dagster as dg
import pytest

from recsys_assets.defs.runs.progress import Narrator, narrated
from recsys_assets.terminal.plan import Plan, Position
from recsys_assets.terminal.screen import Screen


class Run:
    """A small graph, executed on a screen."""

    def __init__(self, *, model=lambda context: None, check_fails=False):
        @dg.asset
        def events(context: dg.AssetExecutionContext) -> None:
            context.log.info("280 days")
            context.log.debug("a detail")

        @dg.asset(name="model", deps=[events])
        def train(context: dg.AssetExecutionContext) -> None:
            model(context)

        @dg.asset(deps=["model"])
        def release() -> None:
            return None

        @dg.asset_check(asset=events, blocking=True)
        def has_events() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=not check_fails, description="no events on 3 days")

        stream = io.StringIO()
        checks = frozenset({"events_has_events"})
        plan = Plan(dict.fromkeys(["events", "model", "release", *checks], 1.0), checks, [], "")
        self.narrator = Narrator(Screen(stream), Position(plan), checks)
        definitions = dg.Definitions(
            [events, train, release],
            asset_checks=[has_events],
            jobs=[dg.define_asset_job("all_assets", "*")],
            executor=dg.in_process_executor,
            loggers={"console": narrated(self.narrator)},
        )
        with dg.DagsterInstance.ephemeral() as instance, self.narrator.followed():
            self.result = definitions.resolve_job_def("all_assets").execute_in_process(
                instance=instance,
                raise_on_error=False,
                run_config={"loggers": {"console": {}}},
            )
        self.lines = stream.getvalue().splitlines()
        self.texts = [line.partition("] ")[2] for line in self.lines]


def fail(context):
    try:
        raise ValueError("column price is missing")
    except ValueError as error:
        raise RuntimeError("training failed") from error


@pytest.fixture(scope="module")
def good():
    return Run()


@pytest.fixture(scope="module")
def broken():
    return Run(model=fail)


def test_every_step_is_told_with_its_time(good):
    begun = [text.partition(" in ")[0] for text in good.texts]

    assert good.result.success
    assert begun == [
        "events: started",
        "events: 280 days",
        "events: done",
        "model: started",
        "model: done",
        "release: started",
        "release: done",
    ]


def test_every_line_begins_with_the_position(good):
    assert good.lines[0].startswith("[ 1/3   0 % ")
    assert good.lines[-1].startswith("[ 3/3 ")


def test_a_step_fails_with_its_error_and_what_is_behind_it(broken):
    cause = "RuntimeError: training failed, because of ValueError: column price is missing"

    assert broken.narrator.failures.causes == {"model": cause}
    assert f"model: FAILED: {cause}" in broken.texts


def test_steps_that_are_not_run_are_collected_and_not_shown(broken):
    assert broken.narrator.failures.not_run == ["release"]
    assert broken.texts[-1].startswith("model: FAILED")


def test_a_failed_check_says_what_it_has_found():
    run = Run(check_fails=True)

    assert not run.result.success
    assert "events_has_events: check ERROR: no events on 3 days" in run.texts
    assert "no events on 3 days" in run.narrator.failures.causes["events_has_events"]
    assert run.narrator.failures.not_run == ["model", "release"]


TRAINING = """
from dagster_pipes import open_dagster_pipes
with open_dagster_pipes():
    raise ValueError("loss is not a number")
"""


def test_a_training_that_fails_says_itself_why(tmp_path):
    module = tmp_path / "training.py"
    module.write_text(TRAINING)

    run = Run(
        model=lambda context: dg.PipesSubprocessClient().run(
            context=context, command=[sys.executable, str(module)]
        )
    )

    assert run.narrator.failures.causes == {"model": "ValueError: loss is not a number"}
