"""Where each record lies: topic names and their settings, one writer each."""

import zlib
from collections.abc import Mapping

PREFIX = "wardround."  # of every topic
MEMBERS = "wardround.members"
PLANS = "wardround.plans"
CERTIFICATES = "wardround.certificates"
LEAD = "wardround.lead"
LEAD_PARTITIONS = 8  # how many coordinators can share the studies of a federation
REGISTRAR_BODIES = "wardround.bodies.registrar"
ROSTER_KEY = b"roster"
UPDATES_KEPT_DAYS = 30  # a site's offers and bodies; sites take part in many studies, so no plan can say another
BATCH_BYTES_MAX = 4 * 1024 * 1024  # what topics of bodies take at a time, a whole batch of chunks

OFFERS_BYTES_LEAST = 1024 * 1024 * 1024  # so much of a site's offers a broker keeps at least

_DAY_MS = 24 * 3600 * 1000
_AS_SENT = {"compression.type": "producer"}  # nobody reads compressed batches, whatever the broker's default is
_COMPACT = {**_AS_SENT, "cleanup.policy": "compact"}
_KEEP = {**_AS_SENT, "cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_NEWEST = {**_COMPACT, "segment.bytes": str(16 * 1024 * 1024)}  # one key: whole segments of it are forgotten soon
_OFFERS_SEGMENT = {"segment.bytes": str(64 * 1024 * 1024)}  # a cap forgets whole segments
_FLUSH = {"flush.messages": "1"}
_LARGE = {"max.message.bytes": str(BATCH_BYTES_MAX)}


def registrar_key(former: bytes) -> bytes:
    """The record key of who succeeds the registrar's key of that key_id: compaction keeps the whole chain."""
    return b"registrar/" + former.hex().encode()


def offers(site: str) -> str:
    return f"wardround.offers.{site}"


def bodies(site: str) -> str:
    return f"wardround.bodies.{site}"


def renewals(member: str) -> str:
    return f"wardround.renewals.{member}"


def rounds(study: str) -> str:
    return f"wardround.study.{study}.rounds"


def receipts(study: str) -> str:
    return f"wardround.study.{study}.receipts"


def models(study: str) -> str:
    return f"wardround.study.{study}.models"


def keys(study: str) -> str:
    return f"wardround.study.{study}.keys"


def commands(study: str) -> str:
    return f"wardround.study.{study}.commands"


def bookmark(study: str) -> str:
    return f"wardround.study.{study}.bookmark"


def takes_bodies(topic: str) -> bool:
    """Whether batches of chunks go to this topic."""
    return topic.startswith(bodies("")) or (topic.startswith(f"{PREFIX}study.") and topic.endswith(".models"))


def trustee(study: str, name: str) -> str:
    return f"wardround.study.{study}.trustee.{name}"


def trustee_bodies(study: str, name: str) -> str:
    return f"wardround.study.{study}.trustee-bodies.{name}"


def lead_partition(study: str, partitions: int) -> int:
    """The partition of `wardround.lead` whose holder runs this study."""
    return zlib.crc32(study.encode()) % partitions


def lead_id(partition: int) -> str:
    """The transactional id of whoever leads a partition: the fence between leader and predecessor."""
    return f"{lead_id_prefix()}{partition}"


def lead_id_prefix() -> str:
    """What every such id begins with."""
    return f"{LEAD}."


def federation_topics() -> Mapping[str, Mapping[str, str]]:
    """Topics of the whole federation with their configuration; each has one partition, but LEAD."""
    said = {**_COMPACT, **_FLUSH}
    return {
        MEMBERS: said,
        PLANS: said,
        CERTIFICATES: said,
        REGISTRAR_BODIES: {**_KEEP, **_LARGE},
        LEAD: _AS_SENT,
    }


def member_topics(member: str) -> Mapping[str, Mapping[str, str]]:
    """What every member has, whatever its roles."""
    return {renewals(member): {**_COMPACT, **_FLUSH}}


def site_topics(site: str, *, size_cap_bytes: int) -> Mapping[str, Mapping[str, str]]:
    """A site's two topics: kept 30 days, the bodies under a size cap and the offers under a part of it.

    A busy site's offers of 30 days are half a gigabyte; the cap is for one that floods, whose oldest records go first.
    """
    month = {**_AS_SENT, "cleanup.policy": "delete", "retention.ms": str(UPDATES_KEPT_DAYS * _DAY_MS)}
    small = {"retention.bytes": str(max(OFFERS_BYTES_LEAST, size_cap_bytes // 16)), **_OFFERS_SEGMENT}
    return {offers(site): {**month, **small}, bodies(site): {**month, **_LARGE, "retention.bytes": str(size_cap_bytes)}}


def study_topics(study: str) -> Mapping[str, Mapping[str, str]]:
    """A study's topics without trustees; `models` is trimmed by the coordinator alone, and all but it are flushed."""
    return {
        rounds(study): {**_KEEP, **_FLUSH},
        receipts(study): {**_COMPACT, **_FLUSH},
        models(study): {**_KEEP, **_LARGE},
        keys(study): {**_COMPACT, **_FLUSH},
        commands(study): {**_KEEP, **_FLUSH},
        bookmark(study): _NEWEST,
    }
