"""Clients of S3, and what it means when they fail.

boto3 handles whole objects, and pyarrow serves engines that read Parquet by themselves. Endpoint,
region and credentials come from the usual AWS environment (`AWS_ENDPOINT_URL`, `AWS_REGION`, a
profile or the role of a service account), as for every other AWS client. These are no settings of
ours: boto3 reads them by itself, in every process that it is used in. They are looked at here for
pyarrow, which does not know all of them, and to have other clients once they are others.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from pyarrow import fs

_ENVIRONMENT = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_PROFILE")
_CREDENTIALS = (
    "the credentials are missing, wrong or expired",
    "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the IAM role of the "
    "pod's service account",
)
_REGION = ("the bucket lies in another region", "correct AWS_REGION")
_BUCKET = ("there is no such bucket", "create it, or correct RECSYS_STORAGE")
_DENIED = (
    "the credentials do not allow this",
    "let their IAM policy read, list, write and delete in the bucket, and list its multipart "
    "uploads, or correct AWS_PROFILE or the pod's service account",
)
_BUSY = ("the server kept failing", "try again later; nothing has been changed by halves")
_NO_ROUTE = (
    "the server did not answer in time",
    "check the network and AWS_ENDPOINT_URL, and try again",
)
_BY_CODE = {
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "AccessDenied": _DENIED,
    "403": _DENIED,
    "NoSuchBucket": _BUCKET,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
}


class StorageUnavailable(OSError):
    """The store could not be reached, or refused; nothing of the operation is visible."""

    def __init__(self, url: str, cause: str, remedy: str, detail: object) -> None:
        super().__init__(f"{url}: {cause} ({detail}): {remedy}")
        self.url = url


class ReplacedMeanwhile(StorageUnavailable):
    """An object was replaced while it was read: read it again."""

    def __init__(self, url: str, detail: object) -> None:
        super().__init__(url, "it was replaced while it was read", "read it again", detail)


@dataclass(frozen=True)
class S3Limits:
    """How long the store is waited for.

    Attributes:
        attempts: tries of one request, with growing random pauses in between.
        connect_seconds: for a connection.
        read_seconds: without a byte.
    """

    attempts: int = 6
    connect_seconds: float = 5.0
    read_seconds: float = 30.0


_limits = S3Limits()


def limits() -> S3Limits:
    """What holds for all clients."""
    return _limits


def use_limits(new: S3Limits) -> None:
    """Replaces the limits for clients from now on."""
    global _limits
    _limits = new


def client() -> Any:
    """The boto3 client of this process, which threads may share."""
    return _client(tuple(os.environ.get(name) for name in _ENVIRONMENT), _limits)


def columnar() -> fs.S3FileSystem:
    """The same server as a file system of pyarrow."""
    endpoint, region, *others = (os.environ.get(name) for name in _ENVIRONMENT)
    return _columnar((endpoint, region, *others), _limits)


@contextmanager
def clear_errors(url: str) -> Iterator[None]:
    """Turns whatever S3 clients raise into one error that names cause and remedy.

    Raises:
        StorageUnavailable: whatever was not answered.
        FileNotFoundError: there is no such object.
    """
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
    from s3transfer.exceptions import RetriesExceededError

    try:
        yield
    except ClientError as error:
        raise _meaning(url, error) from error
    except RetriesExceededError as error:
        raise StorageUnavailable(url, *_BUSY, error.last_exception) from error
    except ParamValidationError:  # a mistake of the caller's
        raise
    except BotoCoreError as error:
        credentials = "Credential" in type(error).__name__
        raise StorageUnavailable(url, *(_CREDENTIALS if credentials else _NO_ROUTE), error) from (
            error
        )


def bucket_and_key(url: str) -> tuple[str, str]:
    """The two parts of an S3 URL; a key may hold `%`, `#` and `?`, which mean nothing there."""
    bucket, _, key = url.partition("://")[2].partition("/")
    return bucket, key.lstrip("/")


def code_of(error: Any) -> str:
    """The code by which S3 names an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _meaning(url: str, error: Any) -> OSError:
    code = code_of(error)
    if code in ("NoSuchKey", "404"):
        return FileNotFoundError(f"{url} does not exist")
    if code == "PreconditionFailed":
        return ReplacedMeanwhile(url, error)
    return StorageUnavailable(url, *_BY_CODE.get(code, _BUSY), error)


@lru_cache(maxsize=8)
def _client(environment: tuple[str | None, ...], of: S3Limits) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": of.attempts},
        connect_timeout=of.connect_seconds,
        read_timeout=of.read_seconds,
        max_pool_connections=32,
    )
    # A session of its own: the default one must not be used by several threads.
    return boto3.session.Session().client("s3", config=config, region_name=environment[1])


@lru_cache(maxsize=8)
def _columnar(environment: tuple[str | None, ...], of: S3Limits) -> fs.S3FileSystem:
    endpoint = urlsplit(environment[0] or "")
    where = {"scheme": endpoint.scheme, "endpoint_override": endpoint.netloc}
    return fs.S3FileSystem(
        region=environment[1],
        connect_timeout=of.connect_seconds,
        request_timeout=of.read_seconds,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=of.attempts),
        **(where if endpoint.netloc else {}),
    )
