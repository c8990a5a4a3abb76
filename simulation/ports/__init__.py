"""Production's shells in the simulator: an event loop on virtual time, and a log in memory behind transport's ports."""
