"""What the log can tell that deserves a word: the federation stays below what hospitals reach alone."""

from learning import advice
from wardround.report.comparison import Comparison


def look_again(comparison: Comparison) -> list[str]:
    """Sentences for the report and the terminal; clipped updates are each site's own affair, in its `/metrics`."""
    alone, federated = comparison.overall.alone, comparison.overall.federated
    if alone is None or federated is None:
        return []
    return advice.of_comparison(
        alone.value, federated.value, higher_is_better=comparison.higher_is_better, metric=comparison.metric
    )
