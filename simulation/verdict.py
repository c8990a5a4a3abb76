"""A breach: what must never come true in a history, and did."""

BREACHES: dict[str, str] = {
    "alarm": "a site meets on the log what must not be there",
    "cohort": "a cohort that the plan does not allow, or with an update that nobody offered",
    "counted-twice": "an update counts twice",
    "crash": "a process ends by an error of its own",
    "decided-twice": "an update gets two final answers",
    "floor": "a cohort is smaller than one of its sites allows",
    "lost": "an update is lost although it was offered and fresh enough",
    "memory": "a bound on memory is broken",
    "name-twice": "one name stands for two updates",
    "new-cohort": "a successor chooses another cohort while a Request is open",
    "no-key": "a version is announced under a key that somebody who belongs has not got",
    "no-model": "a version is announced whose model cannot be fetched",
    "no-progress": "nothing goes on although nothing stands in the way",
    "one-word": "a study ends by the word of a single site",
    "open-request": "a Request is never finished",
    "other-model": "a model is not what its Request gives",
    "patience": "an Announcement says something else of progress than its evaluations",
    "position": "a receipt's position falls, or passes an offer that nobody decided",
    "reads-on": "somebody who has left can read the newest version",
    "receipt": "a receipt contradicts the model",
    "receipt-apart": "a model is announced without the receipts of its cohort",
    "sum": "the sum is not what the Request says",
    "two-keys": "one epoch has two keys",
    "two-models": "two models for one version, or a log that contradicts itself",
    "untrue": "a site is told something untrue about its update",
    "weight": "a weight outside the plan's table",
}


class Broken(AssertionError):  # noqa: N818  # what was found, not an error of this program
    """`breach` is one of BREACHES; `sentence` tells how it came about."""

    def __init__(self, breach: str, sentence: str) -> None:
        super().__init__(f"{breach}: {sentence} ({BREACHES[breach]})")
        self.breach, self.sentence = breach, sentence
        self.at_ms = 0  # virtual time at which it was found
