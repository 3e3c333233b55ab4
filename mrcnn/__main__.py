"""`python -m mrcnn`: the command `mrcnn`."""

import sys

from mrcnn.cli import main

sys.exit(main())
