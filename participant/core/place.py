"""Whether the roster lets this site work on a study, under the keys that it holds.

Knows:    a site that the roster does not list yet waits; one that it knows under other keys is set up wrongly, or its
          new keys are not published yet.
"""

from dataclasses import dataclass

from schemas.errors import PeerError
from schemas.records import KeyUse, Role
from schemas.roster import Membership

OWN_KEYS = (
    "nothing is trained or sent until that is mended: name this site's own key files under [keys] and start again, or "
    "send its request to the registrar again, for `wardround registrar approve`"
)


@dataclass(frozen=True, slots=True)
class Place:
    """One site with the ids of the keys that it holds."""

    name: str
    signing: bytes
    opening: bytes

    def why_not(self, membership: Membership | None, study: str) -> str:
        """Why this site must not work on `study` now, and what to do about it; empty when it may."""
        if membership is None:
            return "the roster is not complete on the log"
        if self.name not in membership.with_role(Role.SITE, study):
            return f"the roster (serial {membership.serial}) does not list {self.name} as a site of {study}"
        wrong = self.wrong_key(membership)
        return f"{wrong}; {OWN_KEYS}" if wrong else ""

    def wrong_key(self, membership: Membership) -> str:
        """Which of the keys is not one that the roster knows this site under; empty when both are."""
        try:
            membership.signing_key(self.name, self.signing)
        except PeerError as error:
            return f"this site's signing key: {error}{_whose(membership, KeyUse.SIGN, self.signing)}"
        try:
            active = membership.opening_key(self.name).key_id
        except PeerError as error:
            return f"this site's opening key: {error}"
        if active == self.opening:
            return ""
        known = f"the roster (serial {membership.serial}) knows {self.name} under opening key {active.hex()}"
        whose = _whose(membership, KeyUse.OPEN, self.opening)
        return f"this site's opening key: {known}, this site holds {self.opening.hex()}{whose}"

    def signs(self, membership: Membership | None) -> bool:
        """Whether others can verify what this site signs."""
        try:
            return membership is not None and bool(membership.signing_key(self.name, self.signing))
        except PeerError:
            return False


def _whose(membership: Membership, use: KeyUse, key_id: bytes) -> str:
    """Whose key it is, where the roster knows that: two key files may have been mixed up."""
    names = [
        name
        for name, member in membership.members.items()
        for key in member.keys
        if (key.use, key.key_id) == (use, key_id)
    ]
    return f"; it is a key of {names[0]}" if names else ""
