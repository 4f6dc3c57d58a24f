import tracemalloc

import numpy as np
import pytest

from recsys_assets.events.contract import distinct


def ids(*values):
    return np.array(values, dtype=object)


def test_strings_are_numbered_in_order():
    names, numbers = distinct(ids("b", "a", "b", "ü", "B"))

    assert names.tolist() == ["B", "a", "b", "ü"]
    assert numbers.tolist() == [2, 1, 2, 3, 0]


def test_a_nul_at_the_end_is_part_of_an_id():
    names, numbers = distinct(ids("a", "a\0", "a"))

    assert names.tolist() == ["a", "a\0"]
    assert numbers.tolist() == [0, 1, 0]


def test_no_strings_have_no_numbers():
    names, numbers = distinct(ids())

    assert (len(names), len(numbers), numbers.dtype) == (0, 0, np.int64)


def test_one_long_id_does_not_make_all_others_long():
    values = ids(*(f"user-{n % 5000}" for n in range(20_000)), "x" * 512)

    tracemalloc.start()
    distinct(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 5e6


@pytest.mark.parametrize("seed", range(3))
def test_it_is_np_unique_of_objects(seed):
    random = np.random.default_rng(seed)
    values = random.integers(0, 50, 300).astype(str).astype(object)

    names, numbers = distinct(values)

    expected, expected_numbers = np.unique(values, return_inverse=True)
    assert names.tolist() == expected.tolist()
    assert numbers.tolist() == expected_numbers.tolist()
