"""The wire: golden bytes, what is refused, the rules of plan and membership."""
