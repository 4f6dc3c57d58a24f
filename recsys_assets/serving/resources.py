"""The serving resource: which online store and which Triton the assets speak to."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg

from recsys_assets.serving.circuit import connect_for_bulk
from recsys_assets.serving.processes import Address
from recsys_assets.serving.promotion import LiveServer
from recsys_assets.serving.seen_items import SeenItems
from recsys_assets.serving.seen_settings import FilterSettings
from recsys_assets.serving.triton import Addresses, Triton
from recsys_assets.settings import Settings


class ServingResource(dg.ConfigurableResource):
    """The online store, the Triton server, and the day whose evening a release knows.

    `triton_folder` holds the live model repository and what belongs to the embedded server.
    """

    online_store_url: str
    triton_http: str
    triton_grpc: str
    triton_metrics: str
    triton_folder: str
    models_python: str
    history_through: str
    seen_expire_days: int | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> "ServingResource":
        """What the settings mean."""
        return cls(
            online_store_url=settings.online_store_url,
            triton_http=settings.triton_http,
            triton_grpc=settings.triton_grpc,
            triton_metrics=settings.triton_metrics,
            triton_folder=str(Triton.of(settings).folder),
            models_python=str(settings.models_python),
            history_through=settings.train_through.isoformat(),
            seen_expire_days=settings.seen_expire_days,
        )

    def triton(self) -> Triton:
        """The embedded server."""
        folder = Path(self.triton_folder)
        return Triton(
            python=Path(self.models_python),
            repository=folder / "models",
            folder=folder,
            addresses=Addresses(
                http=Address.parse(self.triton_http),
                grpc=Address.parse(self.triton_grpc),
                metrics=Address.parse(self.triton_metrics),
            ),
            online_store_url=self.online_store_url,
        )

    def seen_items(self) -> SeenItems:
        """The filters of seen items, for writing in bulk."""
        client = connect_for_bulk(self.online_store_url)
        return SeenItems(client, settings=FilterSettings(expire_days=self.seen_expire_days))

    def live_server(self) -> LiveServer:
        """The server that promotion switches."""
        return LiveServer(self.triton_grpc, self.triton().repository)

    def request_time(self) -> int:
        """The end of history, epoch seconds: the first moment that a release can answer for."""
        after = date.fromisoformat(self.history_through) + timedelta(days=1)
        return int(datetime.combine(after, time(), UTC).timestamp())
