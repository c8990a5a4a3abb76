"""Small frozen values that the core asks: when a cohort closes, who may be in it, when a study ends."""
