"""Updates as fixed-point integers modulo 2**k: exact sums whatever their order, and any member can be taken out again.

Knows:    clipping, rounding and clamping of an update; weighted sums; the range of a body and of a sum; the one formula
          that turns a sum into the change of the model.
Never:    holds more than a block beside the vectors it is given; uses anything but elementwise numpy where bits count.
Source:   docs/secure-aggregation.md, sections 3 and 5.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from protocol.digests import digest_of
from schemas.errors import LocalError, PeerError
from schemas.plan import ABSENCE, Plan
from schemas.records import CHUNK_BYTES
from schemas.staleness import WEIGHT_FULL

_STRIP = 65536  # elements a pass works on: its scratch is no larger than a chunk, and stays in the processor's cache

Words = NDArray[np.unsignedinteger[Any]]  # uint32 or uint64, little-endian
Floats = NDArray[np.float32]
_UNSIGNED: dict[int, np.dtype[np.unsignedinteger[Any]]] = {32: np.dtype("<u4"), 64: np.dtype("<u8")}
_SIGNED: dict[int, np.dtype[np.signedinteger[Any]]] = {32: np.dtype("<i4"), 64: np.dtype("<i8")}


class EncodingError(LocalError):
    """This site's own update cannot be encoded: it is not finite, or not of the plan's length."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """The numbers of a plan that lay out an update: d = p + a words of `modulus_bits`.

    p               number of parameters; the auxiliary coordinates follow them, in the plan's order
    scale_bits      f of the scale s = 2**f: q = rint(s * v)
    clip, clip_inf  L2 clip C of an update, and the clamp of each of its coordinates, in the model's units
    auxiliary       (name, bound, scale_bits) of each auxiliary coordinate
    examples        the auxiliary coordinate that carries a site's example weight, in 0..1; it scales the update too
    """

    p: int
    scale_bits: int
    clip: float
    clip_inf: float
    modulus_bits: int = 32
    auxiliary: tuple[tuple[str, float, int], ...] = ()
    examples: str | None = None

    def __post_init__(self) -> None:
        if self.modulus_bits not in _UNSIGNED:
            raise ValueError(f"modulus_bits is 32 or 64, not {self.modulus_bits}")
        if self.p < 1 or self.clip_l2 <= 0:
            raise ValueError(f"clip {self.clip:g} leaves nothing of {self.p} parameters at scale 2^{self.scale_bits}")
        if any(not 0 <= limit < 2 ** (self.modulus_bits - 1) for limit in self.limits):
            raise ValueError(f"a bound of the encoding does not fit {self.modulus_bits} bits")
        if self.examples is not None and self.examples not in self.names:
            raise ValueError(f"examples `{self.examples}` is no auxiliary coordinate")

    @classmethod
    def from_plan(cls, plan: Plan) -> Self:
        encoding = plan.encoding
        return cls(
            p=plan.parameters,
            scale_bits=encoding.scale_bits,
            clip=encoding.clip,
            clip_inf=encoding.clip_inf,
            modulus_bits=encoding.modulus_bits,
            auxiliary=encoding.auxiliary,
            examples=plan.aggregation.examples,
        )

    @property
    def d(self) -> int:
        """Words of an update."""
        return self.p + len(self.auxiliary)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the auxiliary coordinates, in order."""
        return tuple(name for name, _, _ in self.auxiliary)

    @property
    def scale(self) -> float:
        """s, a power of two: multiplying by it is exact."""
        return math.ldexp(1.0, self.scale_bits)

    @property
    def clip_l2(self) -> float:
        """C', a little under C, so that rounding can not carry norm2(q) above s * C."""
        return self.clip * (1 - 2**-20) - math.sqrt(self.p) / (2 * self.scale)

    @property
    def coordinates(self) -> tuple[tuple[float, float], ...]:
        """(scale, bound) of the parameters, then of each auxiliary coordinate."""
        return ((self.scale, self.clip_inf), *((math.ldexp(1.0, bits), bound) for _, bound, bits in self.auxiliary))

    @property
    def limits(self) -> tuple[int, ...]:
        """Largest |q| of the parameters, then of each auxiliary coordinate: floor(scale * bound)."""
        return tuple(math.floor(scale * bound) for scale, bound in self.coordinates)

    @property
    def word_type(self) -> np.dtype[np.unsignedinteger[Any]]:
        return _UNSIGNED[self.modulus_bits]

    @property
    def block_words(self) -> int:
        """Words of one chunk of a body: every function here works on blocks cut at multiples of it."""
        return CHUNK_BYTES * 8 // self.modulus_bits

    @property
    def body_bytes(self) -> int:
        return self.d * self.modulus_bits // 8


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Encoded:
    """An update ready to be written: `blocks` computes its words one chunk at a time, as often as asked."""

    encoding: Encoding
    norm: float  # L2 norm of the update before clipping, example weight included
    clipped: bool  # whether the L2 clip was active; the share of such updates is a local metric
    _vector: Floats
    _multiplier: float
    _clamp: bool
    _tail: Words

    def blocks(self) -> Iterator[Words]:
        """The d words in blocks of `block_words`, the last one shorter; each is a new array."""
        encoding, total = self.encoding, self.encoding.d
        for start in range(0, total, encoding.block_words):
            block = np.empty(min(encoding.block_words, total - start), encoding.word_type)
            floats = min(max(encoding.p - start, 0), len(block))
            self._quantise(self._vector[start : start + floats], block[:floats])
            if floats < len(block):
                first = start + floats - encoding.p
                block[floats:] = self._tail[first : first + len(block) - floats]
            yield block

    def _quantise(self, part: Floats, out: Words) -> None:
        """out = rint(part * multiplier), clamped. The multiplier holds the scale: a power of two adds no rounding."""
        limit = np.float64(self.encoding.limits[0])
        signed = _signed(out)
        scratch = np.empty(min(_STRIP, len(part)), np.float64)
        for start in range(0, len(part), _STRIP):
            strip = part[start : start + _STRIP]
            work = scratch[: len(strip)]
            work[:] = strip
            np.multiply(work, np.float64(self._multiplier), out=work)
            np.rint(work, out=work)
            if self._clamp:
                np.clip(work, -limit, limit, out=work)
            np.copyto(signed[start : start + _STRIP], work, casting="unsafe")


def encode(vector: Floats, encoding: Encoding, auxiliary: Mapping[str, float] | None = None) -> Encoded:
    """Clip, scale and round an update, ties to even: |q_j| <= floor(s * C_inf), norm2(q) <= s * C.

    vector      float32 (p,), an array or a memmap: the new model minus its base
    auxiliary   value of each auxiliary coordinate; they lie outside the L2 clip and are clamped to their bound
    Raises EncodingError when anything is not finite, or missing. Cost: one pass for the norm, one for each `blocks`.
    """
    if vector.shape != (encoding.p,) or vector.dtype != np.float32:
        raise EncodingError(
            f"an update of {encoding.p} float32 parameters was expected, got {vector.dtype} {vector.shape}",
            hint="does the task's model belong to this plan?",
        )
    values = dict(auxiliary or {})
    if set(values) != set(encoding.names):
        raise EncodingError(f"auxiliary values {sorted(values)} given, the plan asks for {sorted(encoding.names)}")
    share = _share(encoding, values)
    norm = share * norm2([vector])
    if not math.isfinite(norm):
        raise EncodingError("the update holds NaN or infinity", hint="lower the learning rate, or look at the data")
    shrink = min(1.0, encoding.clip_l2 / norm) if norm > 0 else 1.0
    multiplier = share * shrink * encoding.scale
    tail = np.array([_fixed(values, *entry) for entry in encoding.auxiliary], _SIGNED[encoding.modulus_bits])
    return Encoded(
        encoding=encoding,
        norm=norm,
        clipped=shrink < 1.0,
        _vector=vector,
        _multiplier=multiplier,
        _clamp=round(_peak(vector) * multiplier) > encoding.limits[0],
        _tail=tail.view(encoding.word_type),
    )


def norm2(blocks: Iterable[Floats]) -> float:
    """L2 norm of float32 blocks, squared and summed in float64; NaN or infinity when any value is."""
    total = 0.0
    scratch = np.empty(_STRIP, np.float64)
    for block in blocks:
        for start in range(0, len(block), _STRIP):
            part = block[start : start + _STRIP]
            work = scratch[: len(part)]
            work[:] = part
            np.multiply(work, work, out=work)
            total += float(work.sum())
    return math.sqrt(total)


def _peak(vector: Floats) -> float:
    """The largest absolute value. Scaling and rounding keep its order, so it tells whether any word needs the clamp."""
    peak = 0.0
    for start in range(0, len(vector), _STRIP):
        part = vector[start : start + _STRIP]
        peak = max(peak, float(part.max()), -float(part.min()))
    return peak


def words(chunk: bytes | bytearray | memoryview, encoding: Encoding) -> Words:
    """View a plain chunk as words, without copying. Raises PeerError when it ends inside a word."""
    if len(chunk) % encoding.word_type.itemsize:
        raise PeerError(f"a chunk of {len(chunk)} bytes ends inside a word of {encoding.modulus_bits} bits")
    return np.frombuffer(chunk, encoding.word_type)


def add_weighted(total: Words, body: Words, weight: int) -> None:
    """Add `weight` times one body to a running sum, modulo 2**k. `total` is changed in place.

    total, body   uint32 or uint64 (block,)
    weight        4..16 in 16ths; negative takes a member out again
    Raises PeerError when the lengths differ, naming both. Cost: one pass, no new memory but a strip of scratch.
    """
    if total.shape != body.shape or total.dtype != body.dtype:
        raise PeerError(f"a block of {body.shape} {body.dtype} cannot be added to one of {total.shape} {total.dtype}")
    factor = total.dtype.type(weight % 2 ** (8 * total.dtype.itemsize))
    scratch = np.empty(min(_STRIP, len(total)), total.dtype)
    for start in range(0, len(total), _STRIP):
        strip = total[start : start + _STRIP]
        work = scratch[: len(strip)]
        np.multiply(body[start : start + _STRIP], factor, out=work)
        np.add(strip, work, out=strip)


def check_range(block: Words, encoding: Encoding, offset: int) -> None:
    """Check a block of a body that wears no mask; `offset` is the index of its first word.

    Raises PeerError with code `range` when any |q_j| > floor(scale * bound). Cost: two passes, no new memory.
    """
    _within(block, encoding, offset, encoding.limits, "an update")


def check_sum(block: Words, encoding: Encoding, offset: int, sum_w: int) -> None:
    """Check a block of a weighted sum: PeerError with code `range` when any |S_j| > sum_w * (scale * bound + 1)."""
    limits = (math.floor(sum_w * (Fraction(scale) * Fraction(bound) + 1)) for scale, bound in encoding.coordinates)
    _within(block, encoding, offset, tuple(limits), "the sum")


def centred(total: Words) -> NDArray[np.int64]:
    """The residues modulo 2**k as the signed integers closest to zero, int64 (block,)."""
    return _signed(total).astype(np.int64, copy=False)


def factor(encoding: Encoding, n: int, sum_w: int, examples_sum: int | None = None) -> float:
    """What one step of the sum is worth in the model's units: 1/(s*16*n), or (sum_w*s_a)/(S_a*s*16*n) by examples.

    examples_sum   S_a, the integer sum of the `examples` coordinate; given exactly when the plan has one
    Raises PeerError with code `examples` when S_a is not above zero.
    """
    if (examples_sum is None) != (encoding.examples is None):
        raise ValueError("examples_sum is given exactly when the plan weighs by examples")
    if examples_sum is None or encoding.examples is None:
        return 1.0 / (encoding.scale * WEIGHT_FULL * n)
    if examples_sum <= 0:
        raise PeerError(f"the cohort's example weights sum to {examples_sum}", code="examples")
    scale_a = encoding.coordinates[1 + encoding.names.index(encoding.examples)][0]
    return (float(sum_w) * scale_a) / (float(examples_sum) * encoding.scale * WEIGHT_FULL * n)


def examples_index(encoding: Encoding) -> int | None:
    """Index of the word that carries the example weights, None when the plan does not weigh by them."""
    return None if encoding.examples is None else encoding.p + encoding.names.index(encoding.examples)


def delta(total: Words, unit: float) -> Floats:
    """The change of the model, float32 (block,): centred sum times `unit` (see `factor`) in float64, rounded once."""
    signed = _signed(total)
    out = np.empty(len(total), np.float32)
    scratch = np.empty(min(_STRIP, len(total)), np.float64)
    for start in range(0, len(total), _STRIP):
        strip = signed[start : start + _STRIP]
        work = scratch[: len(strip)]
        work[:] = strip
        np.multiply(work, np.float64(unit), out=work)
        out[start : start + _STRIP] = work
    return out


def sum_digest(blocks: Iterable[Words]) -> bytes:
    """Body digest of the weighted sum, all d words modulo 2**k little-endian: the `sum` of an Announcement."""
    return digest_of(np.ascontiguousarray(block).data for block in blocks)


def _share(encoding: Encoding, values: Mapping[str, float]) -> float:
    """What the update is multiplied by, 0..1: its example weight, and for how many versions it stands, to the cap."""
    cap = next((bound for name, bound, _ in encoding.auxiliary if name == ABSENCE), None)
    share = values[encoding.examples] if encoding.examples is not None else 1.0
    if cap is not None and not 1 <= values[ABSENCE] <= cap:
        raise EncodingError(f"the update stands for {values[ABSENCE]!r} versions, it must lie in 1..{cap:g}")
    if not 0 < share <= 1:
        raise EncodingError(
            f"the example weight is {share!r}, it must lie in 0..1", hint="is examples_max of the plan large enough?"
        )
    return float(share) * (1.0 if cap is None else values[ABSENCE] / cap)


def _fixed(values: Mapping[str, float], name: str, bound: float, scale_bits: int) -> int:
    value = float(values[name])
    if not math.isfinite(value):
        raise EncodingError(f"auxiliary coordinate `{name}` is not finite")
    limit = math.floor(math.ldexp(bound, scale_bits))
    return max(-limit, min(limit, round(max(-bound, min(bound, value)) * math.ldexp(1.0, scale_bits))))


def _signed(block: Words) -> NDArray[np.signedinteger[Any]]:
    return block.view(_SIGNED[8 * block.dtype.itemsize])


def _within(block: Words, encoding: Encoding, offset: int, limits: tuple[int, ...], what: str) -> None:
    if offset + len(block) > encoding.d:
        raise PeerError(f"{what} has more than the {encoding.d} words of the plan")
    signed = _signed(block)
    floats = min(max(encoding.p - offset, 0), len(block))
    pieces = [(signed[:floats], limits[0])]
    first = offset + floats - encoding.p
    pieces += [(signed[at : at + 1], limits[1 + first + at - floats]) for at in range(floats, len(block))]
    for piece, limit in pieces:
        if len(piece) and (int(piece.max()) > limit or int(piece.min()) < -limit):
            raise PeerError(f"{what} has a word out of range near index {offset}: the limit is {limit}", code="range")
