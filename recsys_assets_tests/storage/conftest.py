"""An S3 server behind a proxy that counts, and fails on demand."""

from collections.abc import Iterator

import pytest

from recsys_assets.storage import s3
from recsys_assets_tests.storage.s3_proxy import Proxy, proxy_of

_FEW_ATTEMPTS = s3.S3Limits(attempts=3)


@pytest.fixture
def proxy(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The proxy, which this process finds as its S3 server, with few attempts."""
    with proxy_of(s3_environment["AWS_ENDPOINT_URL"]) as proxy:
        for name, value in (s3_environment | {"AWS_ENDPOINT_URL": proxy.url}).items():
            monkeypatch.setenv(name, value)
        usual = s3.limits()
        s3.use_limits(_FEW_ATTEMPTS)
        yield proxy
        s3.use_limits(usual)
