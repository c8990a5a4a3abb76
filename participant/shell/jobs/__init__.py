"""Which job does which effect of a study's core, and what a stopping effect stops."""

from collections.abc import Mapping

from participant.core import effects as do
from participant.core.effects import Effect
from participant.shell.jobs.alone import Alone
from participant.shell.jobs.evaluating import Evaluating
from participant.shell.jobs.fetching import Fetching
from participant.shell.jobs.job import Job, Slot
from participant.shell.jobs.sealing import Sealing
from participant.shell.jobs.sending import Sending
from participant.shell.jobs.training import Training

JOBS: Mapping[type[Effect], type[Job]] = {
    do.Fetch: Fetching,
    do.Evaluate: Evaluating,
    do.Train: Training,
    do.Seal: Sealing,
    do.RunAlone: Alone,
    do.Send: Sending,
}
STOPS: Mapping[type[Effect], Slot] = {
    do.StopFetching: Slot.FETCH,
    do.StopWork: Slot.TRAINER,
    do.StopSending: Slot.SEND,
}
