"""`python -m wardround` is the command `wardround`."""

import sys

INTERRUPTED = 130


def main() -> int:
    """Run the command; one that is interrupted while it is still being imported ends as quietly as any other."""
    try:
        from wardround.cli import main as command

        return command()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
