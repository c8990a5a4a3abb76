"""What decides: plain synchronous Python, events in, effects out, time passed in."""
