"""Questions to filters, as bytes; with a store they are tested through `SeenItems`."""

import numpy as np
import pytest
import redis

from recsys_assets.pipeline import bloom

ITEMS = ["milk", "tea", "crème brûlée", "", "1082185"]


def packed(*arguments):
    return b"".join(redis.connection.Connection().pack_command(*arguments))


@pytest.mark.parametrize("ahead", [0, 2, 100])
def test_a_question_is_what_the_client_would_send(ahead):
    items = bloom.EncodedItems(ITEMS, ahead)
    for rows in ([2, 0], [4, 1, 1, 3], [0]):
        question = bloom.question("seen:{änn}", len(rows), items.join(np.array(rows)))
        asked = [ITEMS[row] for row in rows]
        assert question == packed("BF.MEXISTS", "seen:{änn}", *asked)


def test_a_row_beyond_the_catalogue_is_an_error():
    with pytest.raises(IndexError):
        bloom.EncodedItems(ITEMS).join(np.array([5]))
