"""`python -m tests.faults --duration-s 600 --seed 7`: see tests.faults.run."""

import sys

from tests.faults.run import main

sys.exit(main())
