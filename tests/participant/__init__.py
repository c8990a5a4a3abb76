"""Tests of the participant: its core, its trainer, its outbox."""
