"""What a Close and a refusal may say, computed again from what was offered: the shell's second opinion."""

from typing import TYPE_CHECKING

from coordinator.core.events import Close, Cohort, OfferFact
from schemas.records import Stop
from tests.coordinator.log import Body, model_digest, name_of

if TYPE_CHECKING:
    from tests.coordinator.shell import Shell


def check_cohort(shell: "Shell", close: Cohort) -> None:
    """The plan allows this cohort; its updates are in the sum, with their weights, and were in none before."""
    rule, size = shell.plan.aggregation, len(close.entries)
    assert shell.log.asked is None, "one Request at a time"
    late = rule.deadline_ms > 0 and shell.now_ms - shell.round_ms >= rule.deadline_ms
    assert shell.log.stop is Stop.NONE, "the study has ended"
    assert close.version == shell.log.version + 1
    hurried = shell.log.version in shell.log.orders.closing
    assert size == rule.goal or ((late or hurried) and rule.minimum <= size < rule.goal)
    assert not shell.log.orders.paused
    sites = [entry.site for entry in close.entries]
    assert sites == sorted(set(sites)) == [offer.site for offer in close.offers]
    assert shell.sum == {(entry.site, entry.sequence): entry.weight for entry in close.entries}
    for entry, offer in zip(close.entries, close.offers, strict=True):
        assert (entry.site, entry.sequence, entry.header) == (offer.site, offer.sequence, offer.header)
        assert entry.weight == rule.weight_table[shell.log.version - offer.base_version]
        assert offer.base_digest == model_digest(offer.base_version)
        assert offer.plan == shell.plan.digest
        assert rule.cohort_min <= offer.cohort_min <= size
        assert offer.site in shell.members - shell.log.orders.excluded
        assert shell.decisions.highest[entry.site] < entry.sequence, "the log would name an update twice"


def check_close(shell: "Shell", close: Close) -> None:
    """It ends the Request that is open, with that cohort and no other, and everybody in it is told so."""
    if shell.log.asked is None:
        check_cohort(shell, close.cohort)
    else:
        assert close.entries == shell.log.asked.entries, "a Request binds"
        assert shell.sum == {(entry.site, entry.sequence): entry.weight for entry in close.entries}
    assert close.evaluations == tuple((site, shell.evaluations[site].digest) for site in sorted(shell.evaluations))
    assert [receipt.site for receipt in close.receipts] == [entry.site for entry in close.entries]


def check_reason(shell: "Shell", offer: OfferFact, code: str | None) -> None:
    """The code fits the facts."""
    rule, version = shell.plan.aggregation, shell.log.version
    sent = shell.log.offers[offer.site][offer.offset]
    assert sent is not None
    malformed = (
        (offer.d, offer.size_bytes) != (shell.plan.d, shell.plan.body_bytes)
        or offer.base_version > version
        or offer.base_digest != model_digest(offer.base_version)
        or (sent[1] is Body.GONE and shell.asked[name_of(offer)] == 2)
    )
    holds = {
        "plan": offer.plan != shell.plan.digest,
        "malformed": malformed,
        "trustees": offer.trustees != 0,
        "stale": version - offer.base_version > rule.staleness_max,
        "floor": not rule.cohort_min <= offer.cohort_min <= rule.goal,
        "stranger": offer.site not in shell.members,
        "revoked": offer.site not in shell.members,
        "excluded": offer.site in shell.log.orders.excluded,
        "range": sent[1] is Body.OUTSIDE,
        "final": shell.log.stop is not Stop.NONE,
    }
    assert code is not None
    assert code == offer.code or holds[code], f"{offer} is no case of `{code}`"
