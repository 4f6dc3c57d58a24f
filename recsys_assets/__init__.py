"""A production product recommender in which every artifact is a Dagster asset."""

from recsys_assets.terminal.quiet import silence_libraries

silence_libraries()
