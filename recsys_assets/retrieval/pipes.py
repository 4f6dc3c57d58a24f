"""The models environment as a Dagster resource: trainings run there, through Dagster Pipes.

On Kubernetes the same module and extras go to NVIDIA's Merlin image: replace the resource by one
that wraps `dagster_k8s.PipesK8sClient` and has the same `run`.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg
from dagster_pipes import PipesParams

from recsys_assets.resources import StoreResource
from recsys_assets.retrieval.reporting import EPOCH

# glibc gives memory back to the kernel after every batch, and takes it again for the next.
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_ARENA_MAX": "4",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


class ModelsEnvironment(dg.ConfigurableResource):
    """Runs modules with the interpreter of the models environment; resource key `models`."""

    python: str

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
            extras: JSON values that the module reads.

        Returns:
            The version of the artifact that it has published.

        Raises:
            DagsterPipesExecutionError: it failed; its own error is in the run's log.
            RuntimeError: it ended without saying what it has published.
        """

        def observe(payload: Any) -> None:
            if isinstance(payload, dict) and EPOCH in payload:
                observation = dg.AssetObservation(context.asset_key, metadata=payload[EPOCH])
                context.log_event(observation)

        client = dg.PipesSubprocessClient(
            env=_KEEP_MEMORY, message_reader=_ObservingReader(observe)
        )
        invocation = client.run(
            context=context,
            command=[self.python, "-W", "ignore", "-m", module],
            extras=dict(extras),
        )
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
        from recsys_assets.retrieval.plots import learning_curves

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
        extras: JSON values that the module reads, beside `store`.
        artifact: that it publishes; named as the asset unless given.
    """
    started = time.monotonic()
    version = models.run(context, module, {"store": store.url, **extras})
    folder = store.get().artifact(artifact or context.asset_key.to_user_string()).fetch(version)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return Trained(version, metrics, round(time.monotonic() - started, 1))


class _ObservingReader(dg.PipesTempFileMessageReader):
    """Shows custom messages to `observe` when they come; Dagster keeps them for the end."""

    def __init__(self, observe: Callable[[Any], None]) -> None:
        super().__init__()
        self._observe = observe

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[PipesParams]:
        """Reads as ever, through a handler that looks on."""
        onlooker = cast("dg.PipesMessageHandler", _Onlooker(handler, self._observe))
        with super().read_messages(onlooker) as params:
            yield params


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
