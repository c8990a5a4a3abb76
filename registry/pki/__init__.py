"""A small certificate authority for the federation's own TLS: who issues, to whom, for how long, in which files."""
