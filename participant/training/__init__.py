"""Training in a process of its own: the only part of the participant that meets patients, numpy and torch."""
