"""The wire: what crosses between institutions, and the rules every role applies alike."""
