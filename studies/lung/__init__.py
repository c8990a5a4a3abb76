"""Survival with advanced lung cancer: the institutions of the NCCTG trial."""
