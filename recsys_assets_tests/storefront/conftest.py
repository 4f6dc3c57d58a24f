"""The fixtures of a running deployment, for the services in front of it."""

from recsys_assets_tests.serving.fixtures import live, releases, running

__all__ = ["live", "releases", "running"]
