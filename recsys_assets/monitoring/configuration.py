"""What differs between deployments for monitoring, as a Dagster resource."""

import dagster as dg

from recsys_assets.settings import Settings


class Attribution(dg.ConfigurableResource):
    """Within how many hours a purchase counts for an answer; resource key `attribution`."""

    hours: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "Attribution":
        """The window of a deployment."""
        return cls(hours=settings.attribution_hours)
