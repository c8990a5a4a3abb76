"""The decision log as anyone may check it: one chain, one Request at a time, one version after another.

Knows:    the digest of every record of `rounds`, the newest Announcement, the open Request, each version's model.
Never:    reads a topic, or verifies a signature: it is fed records that were verified, in the order of the log.
"""

from collections.abc import Mapping

from protocol.chain import Chain, Digests
from protocol.digests import record_digest
from schemas.errors import PeerError
from schemas.records import Announcement, AskAgain, Failed, Request

RoundsRecord = Announcement | Request | AskAgain | Failed


class RoundsView:
    """One study's decision log, read from its first record; every rule it holds is one a coordinator could break.

    study, plan   the id, and the digest of the plan its members approved
    trustees      the number of trustees of that plan
    remembered    digests of records met before (index -> digest), which must still stand in their places
    """

    def __init__(
        self, study: str, plan: bytes, *, trustees: int = 0, remembered: Mapping[int, bytes] | None = None
    ) -> None:
        self.study = study
        self.plan = plan
        self._trustees = trustees
        self._chain = Chain(study, remembered)
        self._models = Digests()  # by version
        self._named: dict[str, int] = {}
        self._roster: tuple[int, bytes] | None = None
        self.newest: Announcement | None = None
        self.open_request: Request | None = None

    @property
    def next_index(self) -> int:
        """Index of the record that comes next."""
        return self._chain.next_index

    @property
    def previous(self) -> bytes:
        """What the next record has to carry as `previous`."""
        return self._chain.previous

    @property
    def version(self) -> int:
        """The newest announced version, -1 before version 0."""
        return len(self._models) - 1

    @property
    def final(self) -> bool:
        """Whether the study has ended."""
        return self.newest is not None and self.newest.final

    @property
    def open_digest(self) -> bytes | None:
        """R of the open Request."""
        return None if self.open_request is None else self._chain.at(self.open_request.index)

    def digest_at(self, index: int) -> bytes | None:
        """Digest of the record at `index`, None when it has not been read."""
        return self._chain.at(index)

    def model_digest(self, version: int) -> bytes | None:
        """Body digest of a version's model, None when it has not been announced."""
        return self._models.at(version)

    def add(self, record: RoundsRecord) -> bool:
        """Take the next verified record; False when it has been read before.

        Raises PeerError when it breaks the chain or a rule of the log, with code `forked` when another record is
        known in its place. The view is unchanged then, and nothing after that record can be trusted.
        """
        digest = record_digest(record.to_bytes())
        if record.study != self.study:
            raise PeerError(f"a record of study {record.study} stands on the log of {self.study}")
        if self._chain.has(record, digest):
            return False
        match record:
            case Announcement():
                self._check_announcement(record)
                self._announce(record)
            case Request():
                self._check_request(record)
                self._open(record)
            case AskAgain():
                self._must_be_open(record, record.request)
            case Failed():
                self._must_be_open(record, record.request)
                self.open_request = None
        self._chain.take(digest)
        return True

    def _check_announcement(self, record: Announcement) -> None:
        self._check_plan_and_roster(record)
        if self.newest is None:
            self._require(record.version == 0 and record.request is None, record, "the log begins with version 0")
        elif record.request is None:
            self._check_repeat(record, self.newest)
        if record.request is None:
            quiet = (record.n, record.sum_w, record.sum, record.partial_sums) == (0, 0, None, ())
            self._require(quiet, record, "an Announcement without a Request carries no sum")
        else:
            self._check_answer(record, record.request)
        key_epoch = self.newest.key_epoch if self.newest else 0
        self._require(record.key_epoch >= key_epoch, record, "key_epoch never falls")
        self._require(record.final == (record.stop != 0), record, "`final` and a reason to stop go together")
        self._require(record.final or not self.final, record, "the study has ended")

    def _check_repeat(self, record: Announcement, newest: Announcement) -> None:
        self._require(self.open_request is None, record, "a Request is open")
        same = record.version == newest.version and record.model.digest == newest.model.digest
        same_state = (record.state and record.state.digest) == (newest.state and newest.state.digest)
        self._require(same and same_state, record, "without a Request, version, model and state stay")

    def _check_answer(self, record: Announcement, request: bytes) -> None:
        asked = self._must_be_open(record, request)
        self._require(record.version == self.version + 1, record, f"version {self.version + 1} comes next")
        entries = asked.entries
        self._require(record.n == len(entries), record, f"the Request names {len(entries)} updates")
        sum_w = sum(entry.weight for entry in entries)
        self._require(record.sum_w == sum_w, record, f"the weights of the Request sum to {sum_w}")
        complete = record.sum is not None and len(record.partial_sums) == self._trustees
        self._require(complete, record, f"it needs the digests of the sum and of {self._trustees} partial sums")

    def _check_request(self, record: Request) -> None:
        self._check_plan_and_roster(record)
        self._require(self.newest is not None, record, "the log begins with version 0")
        self._require(not self.final, record, "the study has ended")
        # A refusal is a trustee's to give: where a plan has none, nothing but an end can follow an open Request.
        self._require(record.after_refusal is None, record, "this study has no trustees, so none refused a Request")
        self._require(self.open_request is None, record, "another Request is open")
        self._require(record.version == self.version, record, f"the newest version is {self.version}")
        for entry in record.entries:
            newer = entry.sequence > self._named.get(entry.site, -1)
            self._require(newer, record, f"update {entry.sequence} of {entry.site}, or a later one, was named before")

    def _check_plan_and_roster(self, record: Announcement | Request) -> None:
        self._require(record.plan == self.plan, record, "it names another plan than the one approved")
        serial, roster = self._roster or (0, record.roster)
        self._require(record.roster_serial >= serial, record, f"the roster's serial never falls below {serial}")
        same = record.roster_serial > serial or record.roster == roster
        self._require(same, record, f"roster serial {serial} has another digest than before")

    def _must_be_open(self, record: RoundsRecord, request: bytes) -> Request:
        if self.open_request is None or self.open_digest != request:
            raise PeerError(_breaks(record, "it answers a Request that is not open"))
        return self.open_request

    def _announce(self, record: Announcement) -> None:
        self._roster = (record.roster_serial, record.roster)
        self.newest = record
        self.open_request = None
        if record.version > self.version:
            self._models.append(record.model.digest)

    def _open(self, record: Request) -> None:
        self._roster = (record.roster_serial, record.roster)
        self._named.update((entry.site, entry.sequence) for entry in record.entries)
        self.open_request = record

    @staticmethod
    def _require(holds: bool, record: RoundsRecord, rule: str) -> None:
        if not holds:
            raise PeerError(_breaks(record, rule))


def _breaks(record: RoundsRecord, rule: str) -> str:
    return f"{type(record).__name__} {record.index} of {record.study} breaks the log: {rule}"
