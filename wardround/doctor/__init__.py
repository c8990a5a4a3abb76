"""`wardround doctor`: tries one thing after another that a member needs, and says of each how it is and what to do."""
