import random

from recsys_assets_tests.conftest import free_port


def test_workers_that_draw_alike_get_ports_of_their_own():
    drawn = []
    for _ in range(2):
        random.seed(7)  # as a random order of the tests does, in every worker
        drawn.append([free_port() for _ in range(5)])

    assert drawn[0] != drawn[1]
