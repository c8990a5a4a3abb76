"""The textbook case: one line through 550 points at ten sites, against its closed computation."""
