"""Objects of S3: read, listed, written under a condition, brought to a local file.

Also as a file with random access, of one version from the first byte to the last.
"""

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recsys_assets.storage.s3 import (
    ReplacedMeanwhile,
    StorageUnavailable,
    bucket_and_key,
    clear_errors,
    client,
    code_of,
    limits,
)

PART_BYTES = 16 << 20
LARGE_BYTES = 64 << 20
_PARALLEL = 8
_CONFLICT = "ConditionalRequestConflict"
_LOST = ("PreconditionFailed", "NoSuchKey")  # the second: If-Match, and the object is gone
_TAIL_BYTES = 256 << 10  # holds the footer of a Parquet file, and the whole of a small one


def get(url: str, **conditions: str) -> tuple[bytes, dict[str, Any]]:
    """The bytes of an object, or of a range of it, and what the server says about it.

    Raises:
        FileNotFoundError: there is no such object.
        StorageUnavailable: it cannot be read.
    """
    from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

    bucket, key = bucket_and_key(url)
    with clear_errors(url):
        for attempt in range(1, limits().attempts + 1):
            answer = client().get_object(Bucket=bucket, Key=key, **conditions)
            try:  # botocore does not retry once the body has begun
                return answer["Body"].read(), answer
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError) as error:
                if attempt == limits().attempts:
                    raise StorageUnavailable(
                        url, "the answer broke off", "check the network", error
                    ) from error
            _pause(attempt)
    raise AssertionError("at least one attempt is made")


def _pause(attempt: int) -> None:
    time.sleep(min(0.05 * 2**attempt, 5.0))


def put(url: str, data: bytes) -> None:
    """Replaces an object as a whole."""
    bucket, key = bucket_and_key(url)
    with clear_errors(url):
        client().put_object(Bucket=bucket, Key=key, Body=data)


def put_if(url: str, data: bytes, version: str | None) -> bool:
    """Writes an object if it is what was read, or absent; whether that was so.

    Args:
        url: of the object.
        data: its new bytes, which no other writer writes.
        version: ETag of what is replaced, None if it must be absent.
    """
    from botocore.exceptions import ClientError

    bucket, key = bucket_and_key(url)
    condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
    with clear_errors(url):
        for attempt in range(1, limits().attempts + 1):
            try:
                client().put_object(Bucket=bucket, Key=key, Body=data, **condition)
            except ClientError as error:
                if code_of(error) in _LOST:
                    break
                # Another writer is at it in this very moment.
                if code_of(error) != _CONFLICT or attempt == limits().attempts:
                    raise
                _pause(attempt)
            else:
                return True
    # An answer that was lost has been asked for again, and then refused for what it had done.
    try:
        return get(url)[0] == data
    except FileNotFoundError:
        return False


def listing(url: str) -> Iterator[tuple[str, int]]:
    """All objects below a folder by relative path, with their bytes: a request per 1,000."""
    return ((name, item["Size"]) for name, item in _contents(url))


def versions(url: str) -> Iterator[tuple[str, str]]:
    """All objects below a folder by relative path, with their ETags: a request per 1,000."""
    return ((name, item["ETag"]) for name, item in _contents(url))


def states(url: str) -> Iterator[tuple[str, int, str]]:
    """All objects below a folder by relative path, with bytes and ETags: a request per 1,000."""
    return ((name, item["Size"], item["ETag"]) for name, item in _contents(url))


def _contents(url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    bucket, prefix = _folder(url)
    with clear_errors(url):
        pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", ()):
                yield item["Key"].removeprefix(prefix), item


def names(url: str) -> Iterator[str]:
    """What lies directly in a folder: a request per 1,000."""
    bucket, prefix = _folder(url)
    with clear_errors(url):
        paginator = client().get_paginator("list_objects_v2")
        for page in paginator.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            yield from (item["Key"].removeprefix(prefix) for item in page.get("Contents", ()))
            for item in page.get("CommonPrefixes", ()):
                yield item["Prefix"].removeprefix(prefix).rstrip("/")


def present(url: str) -> bool:
    """Whether there is an object of that name, or anything in a folder of that name."""
    bucket, key = bucket_and_key(url)
    with clear_errors(url):
        found = client().list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", ())
        if not found or found[0]["Key"] == key or found[0]["Key"].startswith(f"{key}/"):
            return bool(found)
        # Such as `model-2` before `model/`.
        return bool(
            client().list_objects_v2(Bucket=bucket, Prefix=f"{key}/", MaxKeys=1)["KeyCount"]
        )


def download(url: str, target: Path) -> None:
    """Brings all objects below a folder to a local one, several ranges at a time.

    Sizes are those of the listing, and of one version of an object each.

    Raises:
        FileNotFoundError: there is nothing, or an object has been deleted meanwhile.
        StorageUnavailable: an object cannot be read, or has been replaced meanwhile.
    """
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    found = {name: size for name, size in listing(url) if name}
    if not found:
        raise FileNotFoundError(f"{url} does not exist")
    bucket, prefix = _folder(url)
    config = TransferConfig(
        multipart_threshold=LARGE_BYTES,
        multipart_chunksize=PART_BYTES,
        max_concurrency=_PARALLEL,
        num_download_attempts=limits().attempts,
    )
    with clear_errors(url), create_transfer_manager(client(), config) as manager:
        for name in found:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
        pending = {
            name: manager.download(bucket, prefix + name, str(target / name)) for name in found
        }
        for name, future in pending.items():
            with clear_errors(f"{url}/{name}"):
                future.result()
    for name, size in found.items():
        if (target / name).stat().st_size != size:
            raise ReplacedMeanwhile(f"{url}/{name}", f"it had {size} bytes")


def _folder(url: str) -> tuple[str, str]:
    bucket, key = bucket_and_key(url)
    return bucket, f"{key.rstrip('/')}/" if key else ""


class ObjectFile(io.RawIOBase):
    """An object for reading; opening it takes one request, which also brings its last bytes.

    Raises:
        FileNotFoundError: there is no such object.
        StorageUnavailable: it cannot be read, or was replaced since it was opened.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._tail, answer = get(url, Range=f"bytes=-{_TAIL_BYTES}")
        self._size = int(answer["ContentRange"].rpartition("/")[2])
        self._version = answer["ETag"]
        self._position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The next byte to be read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a byte."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def size(self) -> int:
        """Bytes of the object."""
        return self._size

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, by one request unless they are among the last of the object."""
        rest = max(self._size - self._position, 0)
        wanted = rest if size is None or size < 0 else min(size, rest)
        start, self._position = self._position, self._position + wanted
        in_tail = start - (self._size - len(self._tail))
        if in_tail >= 0 or not wanted:
            return self._tail[in_tail : in_tail + wanted] if wanted else b""
        data, _ = get(self._url, Range=f"bytes={start}-{start + wanted - 1}", IfMatch=self._version)
        return data
