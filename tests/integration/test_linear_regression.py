"""The textbook case through cores and protocol in memory: every one of 1,000 versions against its closed form."""

from pathlib import Path

import numpy as np
import pytest

from registry.plans.authoring import author_plan
from studies.linear_regression.closed import closed_versions, pooled_descent, training_mse
from studies.linear_regression.task import SAMPLES, points
from tests.integration.in_memory import InMemory

STUDY = Path("studies/linear_regression")
VERSIONS = 1000
MSE = {"weighted": {10: 3.285, 100: 0.106, 1000: 0.0091}, "plain": {10: 3.309, 100: 0.113, 1000: 0.0092}}


@pytest.mark.parametrize("kind", ["plain", "weighted"])
def test_each_version_of_the_textbook_case_equals_its_closed_form(kind: str, tmp_path: Path) -> None:
    text = (STUDY / f"plan_{kind}.toml").read_text()
    versions_line = next(line for line in text.splitlines() if line.startswith("versions"))
    longer = tmp_path / "plan.toml"
    longer.write_text(text.replace(versions_line, f"versions = {VERSIONS}"))
    sites = [points(site) for site in SAMPLES]
    closed = closed_versions(sites, versions=VERSIONS, learning_rate=0.01, weighted=kind == "weighted")
    made = np.stack([model for _, model in InMemory(author_plan(longer), tmp_path).versions()]).astype(np.float64)
    assert made.shape == (VERSIONS + 1, 2)
    np.testing.assert_allclose(made, closed, atol=1e-5, rtol=0)
    if kind == "weighted":
        pooled = pooled_descent(sites, versions=VERSIONS, learning_rate=0.01)
        np.testing.assert_allclose(made, pooled, atol=1e-5, rtol=0)
    for version, mse in MSE[kind].items():
        assert training_mse(made[version], sites) == pytest.approx(mse, rel=0.01)
