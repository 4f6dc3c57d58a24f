"""The serving resource: which online store and which Triton, or fleet, the assets speak to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from recsys_assets.pipeline.circuit import connect_for_bulk
from recsys_assets.pipeline.seen_items import SeenItems
from recsys_assets.pipeline.seen_settings import FilterSettings
from recsys_assets.rollout.agents import Patience
from recsys_assets.rollout.canary import CanaryServer, TemporaryServer
from recsys_assets.rollout.fleet import CanaryPods, Fleet, PodSize
from recsys_assets.rollout.release_target import ReleaseTarget
from recsys_assets.rollout.single_server import SingleServer
from recsys_assets.runtime.processes import Address
from recsys_assets.settings import WAIT_SECONDS, Cluster, Settings
from recsys_assets.triton.server import Addresses, TritonServer

# Of steps that have a release served before it is live: they share what serves it, so only one of
# them runs at a time.
CANARY_POOL = "canary"


class ServingResource(dg.ConfigurableResource):
    """The online store and the Triton server.

    `triton_folder` holds what belongs to the embedded server of `triton_repository`. In a cluster
    `agents` names the headless service of the agents beside the servers, `canary_agents` the canary
    pods', and how large and patient they are is as in `settings.cluster`; elsewhere all is empty.
    """

    online_store_url: str
    triton_http: str
    triton_grpc: str
    triton_metrics: str
    triton_folder: str
    triton_repository: str
    models_python: str
    seen_expire_days: int | None = None
    wait_seconds: float = WAIT_SECONDS
    agents: str = ""
    canary_agents: str = ""
    triton_memory: int = 0
    triton_models: int = 0
    promotion_seconds: int = WAIT_SECONDS

    @classmethod
    def from_settings(cls, settings: Settings) -> "ServingResource":
        """What the settings mean."""
        cluster = settings.cluster
        return cls(
            online_store_url=settings.online_store_url,
            triton_http=settings.triton_http,
            triton_grpc=settings.triton_grpc,
            triton_metrics=settings.triton_metrics,
            triton_folder=str(TritonServer.of(settings).folder),
            triton_repository=str(settings.triton_repository),
            models_python=str(settings.models_python),
            seen_expire_days=settings.seen_expire_days,
            wait_seconds=settings.wait_seconds,
            **_fleet(cluster),
        )

    def triton(self) -> TritonServer:
        """The embedded server."""
        return TritonServer(
            python=Path(self.models_python),
            repository=Path(self.triton_repository),
            folder=Path(self.triton_folder),
            addresses=Addresses(
                http=Address.parse(self.triton_http),
                grpc=Address.parse(self.triton_grpc),
                metrics=Address.parse(self.triton_metrics),
            ),
            online_store_url=self.online_store_url,
            wait_seconds=self.wait_seconds,
        )

    def seen_items(self) -> SeenItems:
        """The filters of seen items, for writing in bulk."""
        client = connect_for_bulk(self.online_store_url)
        return SeenItems(client, settings=FilterSettings(expire_days=self.seen_expire_days))

    def live_server(self, log: Callable[[str], object]) -> ReleaseTarget:
        """What promotion switches: the fleet of a cluster, or the server beside this process.

        `log` takes lines of the fleet's progress.
        """
        if self.agents:
            patience = Patience(self.promotion_seconds)
            return Fleet.behind(self.agents, self.canary_agents, self._pod_size(), patience, log)
        return SingleServer.embedded(self.triton())

    def canary(self) -> CanaryServer:
        """What serves a release before it is promoted: the canary pods, or a temporary Triton."""
        if self.agents:
            patience = Patience(self.promotion_seconds)
            return CanaryPods.behind(self.canary_agents, self._pod_size(), patience)
        return TemporaryServer(self.triton())

    def _pod_size(self) -> PodSize:
        return PodSize(self.triton_memory, self.triton_models)


def _fleet(cluster: Cluster | None) -> dict[str, Any]:
    """Fields of a cluster; none where there is none."""
    if cluster is None:
        return {}
    return {
        "agents": cluster.agents,
        "canary_agents": cluster.canary_agents,
        "triton_memory": cluster.triton_memory,
        "triton_models": cluster.triton_models,
        "promotion_seconds": cluster.promotion_seconds,
    }
