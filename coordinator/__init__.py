"""The coordinator: gathers offers, chooses cohorts, makes versions; `core` decides, `shell` does; needs no torch."""
