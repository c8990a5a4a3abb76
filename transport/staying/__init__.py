"""Staying connected: whether the broker answers, why not, and how long to wait."""
