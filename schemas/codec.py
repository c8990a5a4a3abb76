"""One encoding per value: msgpack arrays of exact types with a limit on every length and count.

Knows:    the field types of the wire (`id u i h k g f8 b str bin list optional`), how they are checked both ways.
Never:    maps, floats as such, a second encoding of the same value.
"""

import itertools
import math
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Annotated, Any, ClassVar, Protocol, Self, cast, get_args, get_origin, get_type_hints

import msgpack

from schemas.errors import PeerError

PAYLOAD_MAX = 512 * 1024
U_MAX = 2**63 - 1
ID_LENGTH_MAX = 40
_ID = re.compile(rf"[a-z0-9-]{{1,{ID_LENGTH_MAX}}}")


class Codec(Protocol):
    """How one field is checked and laid out; `pack` and `unpack` raise ValueError on anything else."""

    def pack(self, value: Any) -> Any: ...

    def unpack(self, wire: Any) -> Any: ...


def shown(value: Any) -> str:
    """A value as an error may show it: short, and by its type alone when it could be nested too deep for repr."""
    return f"{value!r:.60}" if isinstance(value, str | bytes | int | float | None) else type(value).__name__


@dataclass(frozen=True, slots=True)
class _Id:
    def pack(self, value: Any) -> str:
        if type(value) is not str or not _ID.fullmatch(value):
            raise ValueError(f"{shown(value)} is no id ([a-z0-9-], 1 to 40 characters)")
        return value

    unpack = pack


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer within bounds; True is no integer, a member of an IntEnum is one."""

    low: int = 0
    high: int = U_MAX

    def pack(self, value: Any) -> int:
        if isinstance(value, IntEnum):
            value = int(value)
        if type(value) is not int or not self.low <= value <= self.high:
            raise ValueError(f"{shown(value)} is no integer within {self.low}..{self.high}")
        return value

    unpack = pack


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes of a bounded (or, with `exact`, a fixed) length."""

    high: int
    exact: bool = False

    def pack(self, value: Any) -> bytes:
        if type(value) is not bytes or len(value) > self.high or (self.exact and len(value) != self.high):
            what = "exactly" if self.exact else "at most"
            length = len(value) if isinstance(value, bytes) else type(value).__name__
            raise ValueError(f"needs {what} {self.high} bytes, got {length}")
        return value

    unpack = pack


@dataclass(frozen=True, slots=True)
class Text:
    """UTF-8 text of at most `high` bytes."""

    high: int

    def pack(self, value: Any) -> str:
        if type(value) is not str or len(value.encode()) > self.high:
            raise ValueError(f"needs a text of at most {self.high} bytes")
        return value

    unpack = pack


@dataclass(frozen=True, slots=True)
class _Flag:
    def pack(self, value: Any) -> bool:
        if type(value) is not bool:
            raise ValueError(f"{shown(value)} is neither true nor false")
        return value

    unpack = pack


@dataclass(frozen=True, slots=True)
class _Float8:
    """A finite float64 as 8 big-endian bytes; minus zero has no encoding of its own."""

    def pack(self, value: Any) -> bytes:
        if type(value) is not float or not math.isfinite(value) or (value == 0 and math.copysign(1, value) < 0):
            raise ValueError(f"{shown(value)} is no finite float")
        return struct.pack(">d", value)

    def unpack(self, wire: Any) -> float:
        if type(wire) is not bytes or len(wire) != 8:
            raise ValueError("needs 8 bytes of a big-endian float64")
        value = cast(float, struct.unpack(">d", wire)[0])
        self.pack(value)
        return value


@dataclass(frozen=True, slots=True)
class Maybe:
    """The inner value or nil."""

    inner: Codec

    def pack(self, value: Any) -> Any:
        return None if value is None else self.inner.pack(value)

    def unpack(self, wire: Any) -> Any:
        return None if wire is None else self.inner.unpack(wire)


@dataclass(frozen=True, slots=True)
class Many:
    """A list of `low`..`high` values; with `key`, strictly rising by it, so that a set has one encoding."""

    inner: Codec
    high: int
    low: int = 0
    key: Callable[[Any], Any] | None = None

    def _check(self, values: Iterable[Any]) -> None:
        if self.key is not None:
            keys = [self.key(value) for value in values]
            if any(later <= earlier for earlier, later in itertools.pairwise(keys)):
                raise ValueError("the list is not sorted, or names something twice")

    def _count(self, values: Any) -> None:
        if type(values) is not tuple or not self.low <= len(values) <= self.high:
            count = len(values) if isinstance(values, tuple | list) else type(values).__name__
            raise ValueError(f"needs {self.low} to {self.high} entries, got {count}")

    def pack(self, value: Any) -> tuple[Any, ...]:
        self._count(value)
        packed = tuple(self.inner.pack(item) for item in value)
        self._check(value)
        return packed

    def unpack(self, wire: Any) -> tuple[Any, ...]:
        self._count(wire)
        values = tuple(self.inner.unpack(item) for item in wire)
        self._check(values)
        return values


@dataclass(frozen=True, slots=True)
class Pair:
    """A fixed array of differently typed values, read as a tuple."""

    parts: tuple[Codec, ...]

    def pack(self, value: Any) -> tuple[Any, ...]:
        if type(value) is not tuple or len(value) != len(self.parts):
            raise ValueError(f"needs {len(self.parts)} values")
        return tuple(part.pack(item) for part, item in zip(self.parts, value, strict=True))

    def unpack(self, wire: Any) -> tuple[Any, ...]:
        if type(wire) is not tuple or len(wire) != len(self.parts):
            raise ValueError(f"needs {len(self.parts)} values")
        return tuple(part.unpack(item) for part, item in zip(self.parts, wire, strict=True))


@dataclass(frozen=True, slots=True)
class Nested:
    """A value inside a record: its fields in order, without kind or version."""

    inside: "type[Struct]"

    def pack(self, value: Any) -> tuple[Any, ...]:
        if type(value) is not self.inside:
            raise ValueError(f"needs a {self.inside.__name__}")
        return value._wire()

    def unpack(self, wire: Any) -> "Struct":
        return self.inside._from_wire(wire)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several values, told apart by a tag before its fields: `[tag, [fields in order]]`."""

    kinds: "tuple[tuple[str, type[Struct]], ...]"

    def pack(self, value: Any) -> tuple[str, tuple[Any, ...]]:
        for tag, kind in self.kinds:
            if type(value) is kind:
                return tag, value._wire()
        raise ValueError(f"needs one of {', '.join(kind.__name__ for _, kind in self.kinds)}")

    def unpack(self, wire: Any) -> "Struct":
        if type(wire) is not tuple or len(wire) != 2:
            raise ValueError("needs a tag and the fields that belong to it")
        for tag, kind in self.kinds:
            if type(wire[0]) is str and wire[0] == tag:
                return kind._from_wire(wire[1])
        raise ValueError(f"{shown(wire[0])} is none of {', '.join(tag for tag, _ in self.kinds)}")


ID, FLAG, FLOAT8 = _Id(), _Flag(), _Float8()
DIGEST, KEY_ID = Blob(32, exact=True), Blob(16, exact=True)
COUNT, INTEGER = Whole(), Whole(-(2**63), 2**63 - 1)

Id = Annotated[str, ID]
U = Annotated[int, COUNT]
Digest = Annotated[bytes, DIGEST]
MaybeDigest = Annotated[bytes | None, Maybe(DIGEST)]
KeyId = Annotated[bytes, KEY_ID]
Signature = Annotated[bytes, Blob(64, exact=True)]
F8 = Annotated[float, FLOAT8]
Flag = Annotated[bool, FLAG]


def _codecs(cls: type) -> tuple[tuple[str, Codec], ...]:
    hints = get_type_hints(cls, include_extras=True)
    found: list[tuple[str, Codec]] = []
    for field in fields(cls):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            raise TypeError(f"{cls.__name__}.{field.name} has no codec")
        found.append((field.name, get_args(hint)[1]))
    return tuple(found)


class Struct:
    """Base of every value on the wire: if it exists it is valid, and it has one encoding, kept beside the fields."""

    __slots__ = ("_packed",)
    _codec_cache: ClassVar[dict[type, tuple[tuple[str, Codec], ...]]] = {}

    @classmethod
    def _fields(cls) -> tuple[tuple[str, Codec], ...]:
        cached = Struct._codec_cache.get(cls)
        if cached is None:
            cached = Struct._codec_cache[cls] = _codecs(cls)
        return cached

    def __post_init__(self) -> None:
        object.__setattr__(self, "_packed", self._pack())
        self.check()

    def check(self) -> None:
        """Hold rules between fields; raises ValueError. The base has none."""

    def _wire(self) -> tuple[Any, ...]:
        # what a copy or a pickle leaves out is packed again
        return getattr(self, "_packed", None) or self._pack()

    def _pack(self) -> tuple[Any, ...]:
        packed = []
        for name, codec in self._fields():
            try:
                packed.append(codec.pack(getattr(self, name)))
            except ValueError as error:
                raise ValueError(f"{type(self).__name__}.{name}: {error}") from None
        return tuple(packed)

    @classmethod
    def _from_wire(cls, wire: Any) -> Self:
        names = cls._fields()
        if type(wire) is not tuple or len(wire) != len(names):
            raise ValueError(f"{cls.__name__} has {len(names)} fields")
        value = object.__new__(cls)  # what unpack has checked is not packed only to be checked again
        for (name, codec), item in zip(names, wire, strict=True):
            try:
                object.__setattr__(value, name, codec.unpack(item))
            except ValueError as error:
                raise ValueError(f"{cls.__name__}.{name}: {error}") from None
        object.__setattr__(value, "_packed", wire)
        value.check()
        return value


class Record(Struct):
    """A value that travels by itself: `[kind, schema_version, fields in order]`."""

    __slots__ = ("_encoded",)
    KIND: ClassVar[int]
    VERSION: ClassVar[int] = 1
    OLDER: ClassVar[dict[int, type["Record"]]]  # by schema version, where older ones are read: subclasses
    SIZE_MAX: ClassVar[int] = PAYLOAD_MAX

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_encoded", self._encode())
        if len(self.to_bytes()) > self.SIZE_MAX:
            raise ValueError(f"{type(self).__name__} is larger than {self.SIZE_MAX} bytes")

    @classmethod
    def context(cls) -> str:
        """The name that its signature covers: the record's name in lower case."""
        return cls.__name__.lower()

    def to_bytes(self) -> bytes:
        return getattr(self, "_encoded", None) or self._encode()

    def _encode(self) -> bytes:
        return cast(bytes, msgpack.packb((self.KIND, self.VERSION, *self._wire())))

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Decode one payload. Raises PeerError for any other bytes, a second encoding of the same value included."""
        wire = unpack_array(payload, cls.SIZE_MAX, cls.__name__)
        if len(wire) < 2 or type(wire[0]) is not int or wire[0] != cls.KIND:
            raise PeerError(f"not a {cls.__name__}: another kind of record stands here")
        if type(wire[1]) is int and wire[1] in getattr(cls, "OLDER", {}):
            return cast(type[Self], cls.OLDER[wire[1]]).from_bytes(payload)
        if type(wire[1]) is not int or wire[1] != cls.VERSION:
            raise PeerError(f"{cls.__name__} of schema version {shown(wire[1])}; this software reads {cls.VERSION}")
        try:
            value = cls._from_wire(wire[2:])
        except ValueError as error:
            raise PeerError(str(error)) from None
        if msgpack.packb(wire) != payload:
            raise PeerError(f"{cls.__name__} in a second encoding; every record has exactly one")
        object.__setattr__(value, "_encoded", payload)
        return value


def unpack_array(payload: bytes, size_max: int, what: str) -> tuple[Any, ...]:
    """Unpack one msgpack array. Raises PeerError when it is too large, truncated, has trailing bytes or is no array."""
    if len(payload) > size_max:
        raise PeerError(f"{what} of {len(payload)} bytes; at most {size_max} are allowed")
    try:
        wire = msgpack.unpackb(payload, use_list=False, raw=False, strict_map_key=True, max_map_len=0, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise PeerError(f"{what} cannot be read: {type(error).__name__}") from None
    if type(wire) is not tuple:
        raise PeerError(f"{what} is no array")
    return wire
