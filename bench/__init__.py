"""Measures what the framework itself costs: rounds without learning, real processes, a real broker."""
