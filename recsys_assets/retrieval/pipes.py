"""The models environment as a Dagster resource: trainings run there, through Dagster Pipes.

On Kubernetes the same module and extras go to NVIDIA's Merlin image: replace the resource by one
that wraps `dagster_k8s.PipesK8sClient` and has the same `run`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import dagster as dg
from dagster_pipes import PipesParams

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
