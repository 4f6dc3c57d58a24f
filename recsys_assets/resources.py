"""Resources that every stage uses. A stage's own resources live in its folder."""

import dagster as dg

from recsys_assets.storage import Store


class StoreResource(dg.ConfigurableResource):
    """The artifact store behind a storage URL (`file://` or `s3://`)."""

    url: str

    def get(self) -> Store:
        """The store; cheap, nothing is opened before it is used."""
        return Store(self.url)
