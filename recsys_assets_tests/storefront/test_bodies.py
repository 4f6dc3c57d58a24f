"""Bodies as they come; the services' tests have what is made of them."""

import asyncio
from typing import ClassVar

import pytest
from fastapi import HTTPException

from recsys_assets.storefront import bodies


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    class Slow:
        headers: ClassVar = {}

        async def stream(self):
            yield b"["
            await asyncio.sleep(60)

    monkeypatch.setattr(bodies, "_BODY_SECONDS", 0.05)
    with pytest.raises(HTTPException) as error:
        asyncio.run(bodies.read_body(Slow(), 100))
    assert error.value.status_code == 408
