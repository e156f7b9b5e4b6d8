"""Files whose header was never finished, made readable: WAV with a size of 0, FLAC of unknown length.

A recorder writes the header first and the sizes last; into a pipe, or when it is killed, it never does. The
samples are there all the same.
"""

import re

__all__ = ["finished_flac", "finished_wav"]


def finished_wav(data: bytes) -> bytes | None:
    """Return a WAV file whose empty data chunk goes on to the end; ``None`` if the chunk is truly empty.

    It is if nothing follows but chunks: four letters, and a size that fits in the file.
    """
    place = 12
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8
        if name == b"data":
            if size or place == len(data) or _only_chunks(data, place):
                return None
            return data[: place - 4] + b"\xff" * 4 + data[place:]  # "as far as there is", to libsndfile
        place += size + size % 2
    return None


def _only_chunks(data: bytes, place: int) -> bool:
    while place + 8 <= len(data):
        if not re.fullmatch(rb"[ -~]{4}", data[place : place + 4]):
            return False
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return place >= len(data) and place <= len(data) + 1


def finished_flac(data: bytes) -> bytes | None:
    """Return a FLAC file with its number of samples filled in, from the number of its last frame.

    ``None`` if no frame can be found.
    """
    start = data.find(b"fLaC")
    place, last = start + 4, False
    if start < 0:
        return None
    while not last and place + 4 <= len(data):
        last = bool(data[place] & 0x80)
        place += 4 + int.from_bytes(data[place + 1 : place + 4], "big")
    first = _frame(data, place)
    if first is None:
        return None
    block = int.from_bytes(data[start + 8 : start + 10], "big")
    found = len(data)
    while (found := data.rfind(data[place : place + 2], place, found)) >= 0:
        frame = _frame(data, found)
        # rate and sample width stay the same from frame to frame
        same = data[found + 2] & 15 == data[place + 2] & 15 and data[found + 3] & 15 == data[place + 3] & 15
        if frame is not None and (same or found == place):
            number, size = frame
            total = number + size if data[found + 1] & 1 else number * block + size
            if total >> 36:
                return None
            high = data[start + 21] & 0xF0 | total >> 32
            return (
                data[: start + 21]
                + bytes([high])
                + (total & 0xFFFFFFFF).to_bytes(4, "big")
                + data[start + 26 :]
            )
    return None


def _frame(data: bytes, place: int) -> tuple[int, int] | None:
    """Return number and length of the FLAC frame that begins here, if its checksum agrees (RFC 9639, 9.1)."""
    head = data[place : place + 16].ljust(16, b"\0")
    if head[0] != 0xFF or head[1] & 0xFE != 0xF8:
        return None
    code, at = head[2] >> 4, 4
    ones = 8 - (head[4] ^ 0xFF).bit_length()  # as UTF-8 counts its bytes
    if ones == 1 or ones > 7 or code == 0:
        return None
    number = head[4] & (0x7F >> ones)
    at += 1
    for byte in head[5 : 4 + ones]:
        number = number << 6 | byte & 0x3F
        at += 1
    if code == 6:
        size, at = head[at] + 1, at + 1
    elif code == 7:
        size, at = int.from_bytes(head[at : at + 2], "big") + 1, at + 2
    else:
        size = {1: 192}.get(code, 576 << code - 2 if code < 6 else 256 << code - 8)
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if _crc8(head[:at]) != head[at]:
        return None
    return number, size


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ (0x107 if crc & 0x80 else 0)
    return crc
