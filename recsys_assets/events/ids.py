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
    strings = values.tolist()
    names = sorted(set(strings))
    place = {name: number for number, name in enumerate(names)}
    numbers = np.fromiter((place[one] for one in strings), np.int64, len(strings))
    return np.array(names, dtype=object), numbers
