"""Warnings of libraries that whoever runs a command can do nothing about, one by one.

By message, so that nothing need be imported for it and nothing else is hidden.
"""

import re
import warnings

_NOISE = (
    # Parts of Dagster that we use on purpose; the version is pinned.
    r".* is currently in (beta|preview), and may have breaking changes",
    # Ibis calls DuckDB so; Feast shows it anew at every join.
    r"fetch_arrow_table\(\) is deprecated",
)


def silence_libraries() -> None:
    """Hides them in this process."""
    for message in _NOISE:
        warnings.filterwarnings("ignore", message=message)


def is_noise(message: str) -> bool:
    """Whether a warning is one of them: a library may have put its own filter before ours."""
    return any(re.match(noise, message, re.DOTALL) for noise in _NOISE)
