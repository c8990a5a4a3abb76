"""A ward whose hospitals differ in size, for `python -m bench.fairness`; the folder is what its digest covers."""
