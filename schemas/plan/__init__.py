"""The plan of a study, a file a section; import from here, not from the files.

To add a field: CONTRIBUTING.md.
"""

from schemas.plan.aggregation import ABSENCE_CAP_MAX, PRESETS, SERVER_OPTIMISERS, Aggregation
from schemas.plan.data import DataRule
from schemas.plan.encoding import ABSENCE, ENCODINGS, SCALE_BITS_MOST, Clipped, headroom, largest_scale_bits
from schemas.plan.evaluation import ALONE, USAGE, WEIGHT_MAX, EvaluationRule
from schemas.plan.masking import Masking
from schemas.plan.noise import Noise
from schemas.plan.record import Plan, plan_of
from schemas.plan.section import Section
from schemas.plan.stop import StopRule
from schemas.plan.storage import Storage
from schemas.plan.task import TaskSpec
from schemas.plan.training import SITE_OPTIMISERS, Training
from schemas.plan.version_2 import PlanOfVersion2
from schemas.plan.version_3 import PlanOfVersion3, cohort_effective_min, share_max

Plan.OLDER = {older.VERSION: older for older in (PlanOfVersion2, PlanOfVersion3)}

__all__ = [
    "ABSENCE",
    "ABSENCE_CAP_MAX",
    "ALONE",
    "ENCODINGS",
    "PRESETS",
    "SCALE_BITS_MOST",
    "SERVER_OPTIMISERS",
    "SITE_OPTIMISERS",
    "USAGE",
    "WEIGHT_MAX",
    "Aggregation",
    "Clipped",
    "DataRule",
    "EvaluationRule",
    "Masking",
    "Noise",
    "Plan",
    "PlanOfVersion2",
    "PlanOfVersion3",
    "Section",
    "StopRule",
    "Storage",
    "TaskSpec",
    "Training",
    "cohort_effective_min",
    "headroom",
    "largest_scale_bits",
    "plan_of",
    "share_max",
]
