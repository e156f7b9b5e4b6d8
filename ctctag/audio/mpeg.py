"""The frames of an MP3 file: what it really holds, whatever its first frame says or does not say.

An MP3 file is a row of frames, each with a header that gives its length. Encoders put a frame without sound
first (Xing or Info) that counts the others; streams and older files have none, and libsndfile then guesses a
length from the first bit rate. Files joined end to end have one in the middle, where libsndfile stops. So the
frames are counted here, and a file is decoded part by part.

References
----------
ISO/IEC 11172-3, section 2.4.2.3; ISO/IEC 13818-3, section 2.4.2.3 (lower sample rates).
"""

from dataclasses import dataclass

__all__ = ["MpegPart", "counted_stream", "mpeg_parts"]

# kbit/s by (MPEG-1?, layer); index 0 is "free", 15 is not allowed.
_RATES = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_HERTZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # MPEG-1, 2, 2.5


@dataclass
class MpegPart:
    """A stretch of frames that an encoder wrote in one go.

    Attributes
    ----------
    begin, end : int
        Its bytes in the file, from its first frame to the first frame or tag of the next part.
    frames : int
        Frames of sound in it.
    counted : int or None
        How many its first frame promises; ``None`` where it has no such frame.
    frame_samples : int
        Samples a frame and channel.
    missing : int
        Bytes that its last frame lacks, at least; 0 unless the file is cut off.
    foreign : int
        Bytes between its frames that are neither frames nor tags; 0 unless the file is damaged.
    """

    begin: int
    end: int
    frames: int
    counted: int | None
    frame_samples: int
    missing: int = 0
    foreign: int = 0


def mpeg_parts(data: bytes) -> list[MpegPart] | None:
    """Return the parts of an MP3 file, or ``None`` if its frames cannot be followed (free bit rates).

    What lies before the first frame of a part, or behind the last, does not matter.
    """
    parts: list[MpegPart] = []
    place = _skip_tags(data, 0)
    begin = foreign = 0
    while place + 4 <= len(data):
        frame = _frame(data, place)
        if frame is None:
            following = _next_frame(data, place)
            foreign += following - place
            place = following
            continue
        size, samples, side = frame
        counted = _count(data, place + 4 + side) if side else None
        full = bool(parts) and parts[-1].frames == parts[-1].counted  # others, that nobody counted, follow
        if counted is not None or full or not parts:
            if parts:
                parts[-1].end = begin
            parts.append(MpegPart(place, len(data), 0, counted, samples))
            foreign = 0
        if counted is None:
            parts[-1].frames += 1
        parts[-1].foreign += foreign
        foreign = 0
        parts[-1].missing = max(0, place + size - len(data))
        begin = place = place + size
        place = _skip_tags(data, place)
    if parts and 0 < len(data) - place < 4 and data[place] == 0xFF:  # the beginning of one more
        parts[-1].missing = 1
    return [part for part in parts if part.frames] or None


def counted_stream(data: bytes, part: MpegPart) -> bytes:
    """Return the bytes of a part, with an Info frame that counts its frames first, if it has none.

    libsndfile takes its guess for the length, and stops there even where more frames follow.
    """
    stream = data[part.begin : part.end]
    frame = _frame(stream, 0)
    if part.counted is not None or frame is None or not frame[2]:  # layers I and II know no such frame
        return stream
    # the same stream at 64 kbit/s or more (index 9), without padding and checksum: room for the field
    header = bytes([stream[0], stream[1] | 1, 0x90 | stream[2] & 0x0C, stream[3]])
    size, _, side = _frame(header, 0) or frame
    info = header + bytes(side) + b"Info" + (1).to_bytes(4, "big") + part.frames.to_bytes(4, "big")
    return info.ljust(size, b"\0") + stream


def _frame(data: bytes, place: int) -> tuple[int, int, int] | None:
    """Return bytes and samples of the frame that begins here, and the bytes before an Info field."""
    if len(data) < place + 4 or data[place] != 0xFF or data[place + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[place + 1] >> 3 & 3, 4 - (data[place + 1] >> 1 & 3)
    rate, hertz, padding = data[place + 2] >> 4, data[place + 2] >> 2 & 3, data[place + 2] >> 1 & 1
    if version == 1 or layer == 4 or rate in (0, 15) or hertz == 3:
        return None
    first = version == 3
    bits = 1000 * _RATES[first, layer][rate - 1]
    if layer == 1:
        return 4 * (12 * bits // _HERTZ[version][hertz] + padding), 384, 0
    samples = 1152 if layer == 2 or first else 576
    if layer == 2:
        return 144 * bits // _HERTZ[version][hertz] + padding, samples, 0
    mono = data[place + 3] >> 6 == 3
    side = (17 if mono else 32) if first else (9 if mono else 17)
    return samples // 8 * bits // _HERTZ[version][hertz] + padding, samples, side


def _count(data: bytes, place: int) -> int | None:
    """Return how many frames a Xing or Info field at this place promises."""
    if data[place : place + 4] not in (b"Xing", b"Info") or len(data) < place + 12:
        return None
    if not data[place + 7] & 1:  # it does not say
        return None
    return int.from_bytes(data[place + 8 : place + 12], "big")


def _next_frame(data: bytes, place: int) -> int:
    """Return the next place where two frames follow each other, or the end."""
    while (place := data.find(b"\xff", place + 1)) >= 0:
        frame = _frame(data, place)
        if frame is not None and _frame(data, place + frame[0]) is not None:
            return place
    return len(data)


def _skip_tags(data: bytes, place: int) -> int:
    """Return the first place behind the ID3v2, ID3v1 and APE tags that begin here."""
    while True:
        if data[place : place + 3] == b"ID3" and len(data) >= place + 10:
            size = 0
            for byte in data[place + 6 : place + 10]:
                size = size << 7 | byte & 0x7F
            place += 10 + size
        elif data[place : place + 3] == b"TAG":
            place += 128
        elif data[place : place + 8] == b"APETAGEX" and len(data) >= place + 24:
            footer = not data[place + 23] & 0x20  # the top bits of the flags: is this the header?
            place += 32 if footer else 32 + int.from_bytes(data[place + 12 : place + 16], "little")
        else:
            return place
