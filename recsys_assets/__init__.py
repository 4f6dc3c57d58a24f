"""A production product recommender in which every artifact is a Dagster asset."""
