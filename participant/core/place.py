"""Whether the roster lets this site work on a study, under the keys that it holds.

Knows:    a site that the roster does not list yet waits; one that it knows under other keys is set up wrongly, or its
          new keys are not published yet.
"""

from dataclasses import dataclass

from schemas.errors import PeerError
from schemas.records import KeyState, KeyUse, Role
from schemas.roster import Membership

OWN_KEYS = (
    "nothing is trained or sent until that is mended: if the keys were rotated, start again; else name this site's own "
    "key files under [keys] and start again, or send its request to the registrar for `wardround registrar approve`"
)


@dataclass(frozen=True, slots=True)
class Place:
    """One site with the ids of the keys that it holds, of each kind the newest first."""

    name: str
    signing: tuple[bytes, ...]
    opening: tuple[bytes, ...]

    def why_not(self, membership: Membership | None, study: str) -> str:
        """Why this site must not work on `study` now, and what to do about it; empty when it may."""
        if membership is None:
            return "the roster is not complete on the log"
        if self.name not in membership.with_role(Role.SITE, study):
            return f"the roster (serial {membership.serial}) does not list {self.name} as a site of {study}"
        wrong = self.wrong_key(membership)
        return f"{wrong}; {OWN_KEYS}" if wrong else ""

    def wrong_key(self, membership: Membership) -> str:
        """Which of the keys is not one that the roster knows this site under; empty when both are.

        Of each kind one is enough: before the newest is published, and after, when the one before is retired.
        """
        if not self.signs(membership):
            try:
                membership.signing_key(self.name, self.signing[0])
            except PeerError as error:
                return f"this site's signing key: {error}{_whose(membership, KeyUse.SIGN, self.signing[0])}"
        try:
            active = membership.opening_key(self.name).key_id
        except PeerError as error:
            return f"this site's opening key: {error}"
        if active in self.opening:
            return ""
        held = ", ".join(key_id.hex() for key_id in self.opening)
        known = f"the roster (serial {membership.serial}) knows {self.name} under opening key {active.hex()}"
        return (
            f"this site's opening key: {known}, this site holds {held}{_whose(membership, KeyUse.OPEN, *self.opening)}"
        )

    def signs(self, membership: Membership | None) -> bool:
        """Whether others can verify what this site signs."""
        states = membership.key_states(self.name) if membership is not None else {}
        return any(states.get(key_id, KeyState.REVOKED) != KeyState.REVOKED for key_id in self.signing)


def _whose(membership: Membership, use: KeyUse, *held: bytes) -> str:
    """Whose key it is, where the roster knows that: two key files may have been mixed up."""
    names = [
        name
        for name, member in membership.members.items()
        for key in member.keys
        if key.use == use and key.key_id in held
    ]
    return f"; it is a key of {names[0]}" if names else ""
