"""Names that measured values may carry beside a task's own metrics; no numpy, for who only reads them.

Imports:  nothing.
"""

NOT_FINITE = "not-finite"  # instead of a metric: test patients for whom the model's output is not finite
