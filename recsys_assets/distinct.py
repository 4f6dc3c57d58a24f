"""Numbers for strings. Plain numpy, for both environments.

`np.unique` sorts strings as fixed-width text: every row takes four bytes for each character of
the longest one, and NULs at an end are lost, so that two ids become one.
"""

import numpy as np


def distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different strings of an object array [n], and which of them each one is.

    Returns:
        Object [m] in the order of their code points, and int64 [n], places in it.
    """
    found: dict[str, int] = {}
    numbers = np.fromiter(
        (found.setdefault(value, len(found)) for value in values.tolist()), np.int64, len(values)
    )
    names = sorted(found)
    place = np.empty(len(names), dtype=np.int64)
    place[np.fromiter((found[name] for name in names), np.int64, len(names))] = np.arange(
        len(names)
    )
    return np.array(names, dtype=object), place[numbers]
