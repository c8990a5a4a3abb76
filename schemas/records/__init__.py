"""Every record of the wire as a frozen value: who writes it, where it lies, what its fields mean.

Knows:    one file a writer; import from here, not from the files.
Source:   the wire table of the design; kinds and field order are fixed, a changed order is a new schema version.
"""

from schemas.codec import Record
from schemas.records.bodies import BOX_BYTES_MAX, CHUNK_BYTES, CHUNKS_MAX, SITES_MAX, BodyAt, BodyRef, KeyBox, Sealed
from schemas.records.cohort import CohortBody
from schemas.records.coordinator import (
    POSITIONS_MAX,
    RECENT_MAX,
    SUMMARY_SITES_MIN,
    Announcement,
    AskAgain,
    Bookmark,
    Decided,
    EpochKey,
    Failed,
    Measured,
    Memory,
    Outcome,
    Receipt,
    Request,
    RequestEntry,
    Stop,
    Summary,
)
from schemas.records.envelope import SIGNED_MAX, Signed, kind_of, kind_within, version_of
from schemas.records.operator import Action, Command
from schemas.records.registrar import (
    PLAN_BYTES_MAX,
    PUBLIC_BYTES_MAX,
    RESERVED_NAMES,
    KeyState,
    KeyUse,
    Member,
    MemberKey,
    PlanRecord,
    Role,
    Roster,
)
from schemas.records.site import (
    HEADER_BYTES_MAX,
    VALUE_MAX,
    VALUES_MAX,
    Evaluation,
    Header,
    Measurements,
    Offer,
    OpenEvaluation,
    Presence,
    SiteState,
    Trouble,
)
from schemas.records.trustee import PartialSum, Verdict

RECORDS: tuple[type[Record], ...] = (
    Member, Roster, PlanRecord, EpochKey, Announcement, Request, AskAgain, Failed, Receipt,
    Offer, Presence, Evaluation, Verdict, PartialSum, Command, Header,
    Bookmark, Memory, Measurements,
)  # fmt: skip

__all__ = [
    "BOX_BYTES_MAX",
    "CHUNKS_MAX",
    "CHUNK_BYTES",
    "HEADER_BYTES_MAX",
    "PLAN_BYTES_MAX",
    "POSITIONS_MAX",
    "PUBLIC_BYTES_MAX",
    "RECENT_MAX",
    "RECORDS",
    "RESERVED_NAMES",
    "SIGNED_MAX",
    "SITES_MAX",
    "SUMMARY_SITES_MIN",
    "VALUES_MAX",
    "VALUE_MAX",
    "Action",
    "Announcement",
    "AskAgain",
    "BodyAt",
    "BodyRef",
    "Bookmark",
    "CohortBody",
    "Command",
    "Decided",
    "EpochKey",
    "Evaluation",
    "Failed",
    "Header",
    "KeyBox",
    "KeyState",
    "KeyUse",
    "Measured",
    "Measurements",
    "Member",
    "MemberKey",
    "Memory",
    "Offer",
    "OpenEvaluation",
    "Outcome",
    "PartialSum",
    "PlanRecord",
    "Presence",
    "Receipt",
    "Request",
    "RequestEntry",
    "Role",
    "Roster",
    "Sealed",
    "Signed",
    "SiteState",
    "Stop",
    "Summary",
    "Trouble",
    "Verdict",
    "kind_of",
    "kind_within",
    "version_of",
]
