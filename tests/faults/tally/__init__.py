"""The study that tells how often each update was counted."""
