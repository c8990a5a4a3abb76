"""What a site does next, decided from facts: no clock, no file, no randomness, no vector."""
