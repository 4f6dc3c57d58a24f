"""Uploads to S3: small files in one request, large ones in parts that outlive a kill.

A large upload that was broken off is gone on with if the same object is sent again, as when a day's
partition is written by the next run: parts that are there and have the very bytes are not sent
again. A version of an artifact and a release get a new name at each try, so there it is the retries
of each part within a run that count. What is never gone on with, a lifecycle rule of the bucket
removes (`AbortIncompleteMultipartUpload`). On a bucket that is encrypted by KMS, parts cannot be
compared by their MD5, so such an upload begins anew.

Going on is why parts are sent here and not by s3transfer, which downloads: what it has begun it
aborts, or leaves behind if it is killed, and each try sends everything again.
"""

import base64
import hashlib
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_assets.storage.s3 import bucket_and_key, clear_errors, client, code_of
from recsys_assets.storage.s3_objects import LARGE_BYTES, PART_BYTES

_PARALLEL = 4
_MOST_PARTS = 10_000  # of S3
# The upload was completed or aborted by somebody, or another writer replaced one of its parts.
_OVERTAKEN = ("NoSuchUpload", "InvalidPart")

Part = dict[str, Any]


@dataclass(frozen=True)
class _Upload:
    """One multipart upload of a local file."""

    file: Path
    bucket: str
    key: str
    upload_id: str
    part_bytes: int

    def local(self, number: int) -> bytes:
        """The bytes of a part; parts count from 1."""
        with self.file.open("rb") as stream:
            stream.seek((number - 1) * self.part_bytes)
            return stream.read(self.part_bytes)

    def send(self, number: int) -> Part:
        """Uploads a part."""
        answer = client().upload_part(
            **self._address,
            PartNumber=number,
            Body=self.local(number),
            ChecksumAlgorithm="CRC32",
        )
        return _listed(number, answer)

    def there(self) -> Iterator[Part]:
        """The parts that have been sent."""
        for page in client().get_paginator("list_parts").paginate(**self._address):
            yield from page.get("Parts", ())

    def holds(self, part: Part) -> bool:
        """Whether a part that was sent is that of the file."""
        data = self.local(part["PartNumber"])
        same_sum = part.get("ChecksumCRC32") in (None, _crc32(data))
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return same_sum and part["Size"] == len(data) and part["ETag"].strip('"') == digest

    def complete(self, parts: list[Part]) -> None:
        """Makes the object visible."""
        client().complete_multipart_upload(**self._address, MultipartUpload={"Parts": parts})

    @property
    def _address(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key, "UploadId": self.upload_id}


def upload_file(file: Path, url: str) -> None:
    """Replaces an object by a local file, as a whole: readers see the old bytes or the new ones.

    Raises:
        StorageUnavailable: it cannot be written; the object is what it was before.
    """
    from botocore.exceptions import ClientError

    bucket, key = bucket_and_key(url)
    size = file.stat().st_size
    with clear_errors(url):
        if size < LARGE_BYTES:
            with file.open("rb") as stream:
                client().put_object(Bucket=bucket, Key=key, Body=stream)
            return
        part_bytes = max(PART_BYTES, -(-size // _MOST_PARTS))
        try:
            _in_parts(size, *_begun(file, bucket, key, part_bytes))
        except ClientError as error:
            if code_of(error) not in _OVERTAKEN:
                raise
            _in_parts(size, _new(file, bucket, key, part_bytes), [])


def upload_folder(source: Path, url: str) -> None:
    """Uploads all files of a folder, several at a time.

    Raises:
        StorageUnavailable: one cannot be written; others may be there.
    """
    files = [file for file in source.rglob("*") if file.is_file()]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        list(pool.map(lambda file: upload_file(file, f"{url}/{file.relative_to(source)}"), files))


def _in_parts(size: int, upload: _Upload, there: list[Part]) -> None:
    known = {part["PartNumber"]: _listed(part["PartNumber"], part) for part in there}
    numbers = range(1, -(-size // upload.part_bytes) + 1)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        sending = {n: pool.submit(upload.send, n) for n in numbers if n not in known}
        try:
            sent = {n: future.result() for n, future in sending.items()}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    upload.complete([known.get(number) or sent[number] for number in numbers])


def _begun(file: Path, bucket: str, key: str, part_bytes: int) -> tuple[_Upload, list[Part]]:
    """An upload of this very file that was broken off, with its parts, or a new one."""
    pages = client().get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key)
    begun = [found for page in pages for found in page.get("Uploads", ()) if found["Key"] == key]
    for found in sorted(begun, key=lambda upload: upload["Initiated"], reverse=True):
        upload = _Upload(file, bucket, key, found["UploadId"], part_bytes)
        parts = list(upload.there())
        if parts and all(map(upload.holds, parts)):
            return upload, parts
    return _new(file, bucket, key, part_bytes), []


def _new(file: Path, bucket: str, key: str, part_bytes: int) -> _Upload:
    answer = client().create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm="CRC32")
    return _Upload(file, bucket, key, answer["UploadId"], part_bytes)


def _listed(number: int, part: Part) -> Part:
    """What completing an upload asks to be told of a part."""
    listed: Part = {"PartNumber": number}
    return listed | {name: part[name] for name in ("ETag", "ChecksumCRC32") if name in part}


def _crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4)).decode()
