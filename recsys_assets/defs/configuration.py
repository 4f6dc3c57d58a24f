"""Dagster run configuration made from dataclasses of hyperparameters and thresholds."""

from dataclasses import fields
from typing import Any

import dagster as dg


def config_fields(parameters: type[Any]) -> dict[str, dg.Field]:
    """Config fields with the dataclass's types, defaults and descriptions.

    Args:
        parameters: a dataclass whose fields have `description` in their metadata.
    """
    return {
        field.name: dg.Field(
            dg.Int if isinstance(field.default, int) else dg.Float,
            default_value=field.default,
            description=field.metadata["description"],
        )
        for field in fields(parameters)
    }
