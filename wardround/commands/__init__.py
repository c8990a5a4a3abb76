"""One module a command: `add_arguments(parser)` says what it takes, `run` does it, the docstring is its help.

Never:    imports more than argparse needs at the top of a module; what a command works with is imported when it runs.
"""
