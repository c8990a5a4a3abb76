"""Faults against the real thing: a federation of processes, killed, stopped and cut off at random, must balance."""
