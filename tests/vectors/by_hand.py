"""msgpack laid out by hand: the golden bytes of records must not come from the library the product uses."""

import struct


def whole(value: int) -> bytes:
    """An integer in the shortest form msgpack has."""
    if 0 <= value < 0x80:
        return bytes([value])
    if -32 <= value < 0:
        return struct.pack("b", value)
    if value < 0:
        for tag, form, low in ((0xD0, ">b", -(2**7)), (0xD1, ">h", -(2**15)), (0xD2, ">i", -(2**31))):
            if value >= low:
                return bytes([tag]) + struct.pack(form, value)
        return b"\xd3" + struct.pack(">q", value)
    for tag, form, bits in ((0xCC, ">B", 8), (0xCD, ">H", 16), (0xCE, ">I", 32)):
        if value < 2**bits:
            return bytes([tag]) + struct.pack(form, value)
    return b"\xcf" + struct.pack(">Q", value)


def text(value: str) -> bytes:
    encoded = value.encode()
    assert len(encoded) < 256
    return (bytes([0xA0 | len(encoded)]) if len(encoded) < 32 else bytes([0xD9, len(encoded)])) + encoded


def blob(value: bytes) -> bytes:
    if len(value) < 256:
        return bytes([0xC4, len(value)]) + value
    if len(value) < 65536:
        return b"\xc5" + struct.pack(">H", len(value)) + value
    return b"\xc6" + struct.pack(">I", len(value)) + value


def array(*items: bytes) -> bytes:
    return head(len(items)) + b"".join(items)


def head(count: int) -> bytes:
    """The bytes before an array's items."""
    return bytes([0x90 | count]) if count < 16 else b"\xdc" + struct.pack(">H", count)


def flag(value: bool) -> bytes:
    return b"\xc3" if value else b"\xc2"


NIL = b"\xc0"
