"""The toy graph as a code location that a daemon loads."""

from recsys_assets_tests.retraining.toy_graph import definitions

defs = definitions()
