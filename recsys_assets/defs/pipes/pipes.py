"""The models environment as a Dagster resource: trainings run there, through Dagster Pipes.

Here on the same machine, in a process with the interpreter of that environment;
`kubernetes.py` has them run in a pod.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg
from dagster_pipes import PipesParams

from recsys_assets.defs.resources import StoreResource
from recsys_assets.features.request_time import UTC
from recsys_assets.models.training import EPOCH
from recsys_assets.settings import Settings

# glibc gives memory back to the kernel after every batch, and takes it again for the next.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_ARENA_MAX": "4",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


class ModelsEnvironment(dg.ConfigurableResource, ABC):
    """Runs modules in the models environment; resource key `models`.

    `time_zone` of the shop is what hour and weekday of a request are learned by.
    """

    time_zone: str = UTC

    @abstractmethod
    def run(
        self,
        context: dg.AssetExecutionContext,
        module: str,
        extras: Mapping[str, Any],
    ) -> str:
        """Runs `python -m module` and waits for it.

        Its log lines and each epoch's figures reach the UI as they come: the figures as
        observations of the asset that is being materialized.

        Args:
            context: of the asset.
            module: has a `main` that opens Dagster Pipes.
            extras: JSON values that the module reads, beside `time_zone`.

        Returns:
            The version of the artifact that it has published.

        Raises:
            DagsterPipesExecutionError: it failed; its own error is in the run's log.
            RuntimeError: it ended without saying what it has published.
        """


class ModelsSubprocess(ModelsEnvironment):
    """Runs them beside the run, with the interpreter of the models environment."""

    python: str

    @classmethod
    def from_settings(cls, settings: Settings) -> "ModelsSubprocess":
        """With the interpreter of the deployment."""
        return cls(python=str(settings.models_python), time_zone=settings.time_zone)

    def run(
        self,
        context: dg.AssetExecutionContext,
        module: str,
        extras: Mapping[str, Any],
    ) -> str:
        """Runs it in a process that ends with this one."""
        client = dg.PipesSubprocessClient(
            env=KEEP_MEMORY, message_reader=_ObservedFile(observer(context))
        )
        invocation = client.run(
            context=context,
            command=module_command(module, self.python),
            extras={**extras, "time_zone": self.time_zone},
        )
        return reported_version(invocation, module)


def module_command(module: str, python: str = "python") -> list[str]:
    """What starts a module."""
    return [python, "-W", "ignore", "-m", module]


def observer(context: dg.AssetExecutionContext) -> Callable[[Any], None]:
    """Turns the epochs among the messages into observations of the context's asset."""

    def observe(payload: Any) -> None:
        if isinstance(payload, dict) and EPOCH in payload:
            observation = dg.AssetObservation(context.asset_key, metadata=payload[EPOCH])
            context.log_event(observation)

    return observe


def reported_version(invocation: dg.PipesClientCompletedInvocation, module: str) -> str:
    """The version that a module has published.

    Raises:
        RuntimeError: it has not said.
    """
    for message in invocation.get_custom_messages():
        if isinstance(message, dict) and "version" in message:
            return str(message["version"])
    raise RuntimeError(f"{module} ended without reporting the version that it published")


@dataclass(frozen=True)
class Trained:
    """A published model: the version of its artifact, and what its `metrics.json` says."""

    version: str
    metrics: dict[str, Any]
    seconds: float

    def result(
        self, through: str, curves: Sequence[str], more: Mapping[str, Any]
    ) -> dg.MaterializeResult:
        """What its asset reports: the figures of every training, and those of this one.

        Args:
            through: last day learned from, YYYY-MM-DD.
            curves: figures of the validation week to draw over the epochs.
            more: metadata of this kind of model.
        """
        from recsys_assets.defs.plots import learning_curves

        metrics = self.metrics
        return dg.MaterializeResult(
            data_version=dg.DataVersion(self.version),
            metadata={
                **metrics["validation"],
                "training_purchases": metrics["examples"],
                "trained_through": through,
                "learning_curves": dg.MetadataValue.md(learning_curves(metrics["epochs"], curves)),
                "epochs": dg.MetadataValue.json(metrics["epochs"]),
                "parameters": dg.MetadataValue.json(metrics["parameters"]),
                "onnx_difference": metrics["onnx_difference"],
                "peak_memory_gib": metrics["peak_memory_gib"],
                "seconds": self.seconds,
                "version": self.version,
                **more,
            },
        )


def train(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    models: ModelsEnvironment,
    module: str,
    extras: Mapping[str, Any],
    artifact: str | None = None,
) -> Trained:
    """Trains in the models environment and publishes an artifact.

    Args:
        context: of the asset.
        store: where the training reads and publishes.
        models: runs it.
        module: has a `main` that opens Dagster Pipes.
        extras: JSON values that the module reads, beside `store` and `artifact`.
        artifact: that it publishes; named as the asset unless given.
    """
    started = time.monotonic()
    name = artifact or context.asset_key.to_user_string()
    version = models.run(context, module, {"store": store.url, "artifact": name, **extras})
    folder = store.get().artifact(name).fetch(version)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return Trained(version, metrics, round(time.monotonic() - started, 1))


def current(store: StoreResource, artifact: str) -> dict[str, str | None]:
    """An artifact as an extra: the version of now, whatever is published before it is read."""
    return {"artifact": artifact, "version": store.get().artifact(artifact).current()}


class Observed(dg.PipesMessageReader):
    """A reader that shows custom messages to `observe` as they come, not only at the end."""

    observe: Callable[[Any], None]

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[PipesParams]:
        """Reads as ever, through a handler that looks on."""
        onlooker = cast("dg.PipesMessageHandler", _Onlooker(handler, self.observe))
        with super().read_messages(onlooker) as params:  # type: ignore[safe-super]
            yield params


class _ObservedFile(Observed, dg.PipesTempFileMessageReader):
    def __init__(self, observe: Callable[[Any], None]) -> None:
        super().__init__()
        self.observe = observe


class _Onlooker:
    """A message handler that shows custom messages to `observe` before it passes them on."""

    def __init__(self, handler: dg.PipesMessageHandler, observe: Callable[[Any], None]) -> None:
        self._handler = handler
        self._observe = observe

    def handle_message(self, message: Mapping[str, Any]) -> None:
        """Handles one message."""
        if message["method"] == "report_custom_message":
            self._observe(message["params"]["payload"])
        self._handler.handle_message(cast("Any", message))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)
