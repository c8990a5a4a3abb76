"""Tests of what several roles compute alike."""
