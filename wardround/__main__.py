"""`python -m wardround` is the command `wardround`."""

import sys

from wardround.cli import main

sys.exit(main())
