"""An object of S3 as a file with random access, of one version from the first byte to the last."""

import io
import os

from recsys_assets.storage.s3_objects import get

_TAIL_BYTES = 256 << 10  # holds the footer of a Parquet file, and the whole of a small one


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
