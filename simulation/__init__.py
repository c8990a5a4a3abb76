"""A whole federation in one process on virtual time: the cores of production, a simulated log, seeded faults."""
