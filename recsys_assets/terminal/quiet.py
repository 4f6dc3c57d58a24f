"""Warnings of libraries that whoever runs a command can do nothing about, one by one.

By message and place, so that nothing need be imported for it and nothing else is hidden.
"""

import re
import warnings

# How a message begins, and how the file in which it arises ends.
_NOISE = (
    # Parts of Dagster that we use on purpose; the version is pinned.
    (r".* is currently in (beta|preview), and may have breaking changes", ""),
    # Dagster's own client of Pipes.
    (r"AssetExecutionContext\.run_id is deprecated", "dagster/_core/pipes/context.py"),
    # Ibis calls DuckDB so; Feast shows it anew at every join.
    (r"fetch_arrow_table\(\) is deprecated", "ibis/backends/duckdb/__init__.py"),
)


def silence_libraries() -> None:
    """Hides them in this process."""
    for message, file in _NOISE:
        module = file.removesuffix(".py").removesuffix("/__init__").replace("/", r"\.")
        warnings.filterwarnings("ignore", message=message, module=module)


def is_noise(message: str, file: str) -> bool:
    """Whether a warning is one of them: a library may have put its own filter before ours."""
    return any(re.match(noise, message) and file.endswith(place) for noise, place in _NOISE)
