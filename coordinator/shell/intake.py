"""From what lies on a site's offers topic to facts: verified, parsed; topic, signer and payload name the same site."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

from coordinator.core.events import Evaluated, OfferFact
from coordinator.core.offers import NOWHERE
from protocol.digests import record_digest
from protocol.evaluations import AnyEvaluation, measured_values, read_evaluation, verify_evaluation
from protocol.sealing import OpeningKeys
from protocol.signing import verify, verify_update
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import Evaluation, Header, Offer, Presence, RequestEntry, Signed, kind_of, kind_within
from schemas.roster import Membership
from transport.reading.log import Entry


@dataclass(frozen=True, slots=True)
class VerifiedOffer:
    """An offer as it lies on the log, with what is needed to fetch its body and to put it into a cohort body."""

    fact: OfferFact
    offer: Offer
    signed: bytes


def worth_reading(entries: Sequence[Entry]) -> list[Entry]:
    """All but those that claim to be a Presence with a newer one of the same topic behind: it says nothing any more.

    Verifying each would cost a successor minutes, as sites tell it up to once a second.
    """
    told: set[str] = set()
    kept: list[Entry] = []
    for entry in reversed(entries):
        if entry.value is not None and kind_within(entry.value) == Presence.KIND:
            if entry.topic in told:
                continue
            told.add(entry.topic)
        kept.append(entry)
    return kept[::-1]


def measured(
    entry: Entry, plan: Plan, digests: Container[bytes], opening: OpeningKeys
) -> tuple[bytes, Evaluated | None]:
    """An Evaluation whose digest is one of `digests`, and nothing else; the digest is what makes it believed."""
    if entry.value is None or kind_within(entry.value) != Evaluation.KIND:
        return b"", None
    try:
        payload = Signed.from_bytes(entry.value).payload
        digest = record_digest(payload)
        if digest not in digests:
            return digest, None
        evaluation = read_evaluation(payload)
        return digest, _evaluation(evaluation, payload, evaluation.site, plan, opening)
    except PeerError:
        return b"", None


def read_offer_topic(
    entry: Entry, site: str, plan: Plan, membership: Membership, opening: OpeningKeys
) -> VerifiedOffer | Evaluated | Presence | None:
    """One record of `wardround.offers.<site>`; None when it belongs to another study.

    Raises PeerError with a receipt code: bad signature, unknown or revoked key, a payload that names another site.
    """
    if entry.value is None:
        raise PeerError("an empty record")
    signed = Signed.from_bytes(entry.value)
    public = membership.signing_key(site, signed.key_id)
    kind = kind_of(signed.payload)
    if kind == Offer.KIND:
        return _offer(verify(signed, Offer, public), entry, site, plan, membership)
    if kind == Evaluation.KIND:
        return _evaluation(verify_evaluation(signed, public), signed.payload, site, plan, opening)
    presence = verify(signed, Presence, public)
    _same_site(presence.site, site)
    return presence


def _offer(offer: Offer, entry: Entry, site: str, plan: Plan, membership: Membership) -> VerifiedOffer | None:
    header = Header.from_bytes(offer.header)
    _same_site(header.site, site)
    if header.study != plan.study:
        return None
    public = membership.signing_key(site, header.signing_key)
    verify_update(offer.header, offer.boxes, offer.update_signature, public)
    assert entry.value is not None
    return VerifiedOffer(_fact(header, offer, entry.offset), offer, entry.value)


def chosen_offer(signed: bytes, entry: RequestEntry) -> VerifiedOffer:
    """An offer out of the body of a cohort; the Request, which names body and header by digest, is what makes it so.

    No key is needed: its site may have left since. Raises PeerError when it is not the one that `entry` names.
    """
    offer = Offer.from_bytes(Signed.from_bytes(signed).payload)
    header = Header.from_bytes(offer.header)
    named = (header.site, header.sequence, record_digest(offer.header))
    if named != (entry.site, entry.sequence, entry.header):
        raise PeerError(f"a cohort's body holds another offer than update {entry.sequence} of {entry.site}")
    return VerifiedOffer(_fact(header, offer, NOWHERE), offer, signed)


def _fact(header: Header, offer: Offer, offset: int) -> OfferFact:
    return OfferFact(
        site=header.site,
        offset=offset,
        sequence=header.sequence,
        header=record_digest(offer.header),
        base_version=header.base_version,
        base_digest=header.base_digest,
        plan=header.plan,
        d=header.d,
        size_bytes=offer.body.size_bytes,
        cohort_min=header.cohort_min,
        trustees=len(header.trustees),
        code=None if record_digest(offer.body.chunk_digests) == header.payload_digest else "malformed",
    )


def _evaluation(
    evaluation: AnyEvaluation, payload: bytes, site: str, plan: Plan, opening: OpeningKeys
) -> Evaluated | None:
    _same_site(evaluation.site, site)
    if evaluation.study != plan.study:
        return None
    values = measured_values(evaluation, opening, plan)
    if plan.evaluation.metric not in values:
        return None
    return Evaluated(
        site=site,
        version=evaluation.version,
        model=evaluation.model,
        digest=record_digest(payload),
        value=values[plan.evaluation.metric],
        weight=max(0.0, values.get(plan.evaluation.weight, 0.0)),
    )


def _same_site(named: str, site: str) -> None:
    if named != site:
        raise PeerError(f"a record on the topic of {site} names {named}", code="stranger")
