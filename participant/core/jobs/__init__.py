"""What a site works on in a study, a file a job; in the order in which they go before each other."""

from participant.core.jobs.alone import Alone
from participant.core.jobs.evaluation import Evaluation
from participant.core.jobs.job import Job
from participant.core.jobs.sealing import Sealing
from participant.core.jobs.training import Training

JOBS: tuple[type[Job], ...] = (Evaluation, Training, Sealing, Alone)
