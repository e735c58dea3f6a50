"""What is in files that are compressed with gzip, read piece by piece and no further than asked."""

import zlib
from typing import BinaryIO, Protocol

MAGIC = b"\x1f\x8b"
"""The first bytes of a compressed file."""

MAX_RATIO = 1032
"""How much larger than its file what is compressed can be: the bound of the deflate format."""

_COMPRESSED_CHUNK = 1 << 14


class Stream(Protocol):
    """What can be read on, piece by piece."""

    def read(self, n: int, /) -> bytes:
        """Return at most `n` bytes, and none at the end."""
        ...


class Decompressed:
    """What is in an open gzip file, piece by piece; zlib verifies the checksums.

    The module `gzip` reads names and padding byte by byte, which takes an hour where they are long.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._input = file, b""
        self._member = zlib.decompressobj(zlib.MAX_WBITS + 16)

    def read(self, n: int) -> bytes:
        """Return at most `n` bytes, and none at the end of the last member.

        Raises
        ------
        EOFError
            Where the file ends early.
        zlib.error
            Where it is corrupt.
        """
        while True:
            given = self._input or self._file.read(_COMPRESSED_CHUNK)
            if self._member.eof:
                if not given:
                    return b""
                self._input = given = given.lstrip(b"\0")  # padding, as tapes and tools leave it
                if not given:
                    continue
                self._member = zlib.decompressobj(zlib.MAX_WBITS + 16)
            found = self._member.decompress(given, n)
            self._input = self._member.unconsumed_tail or self._member.unused_data
            if found:
                return found
            if not given and not self._member.eof:
                raise EOFError
