"""Benign or malignant breast mass: Wisconsin diagnostic data on ten invented sites."""
