"""``python -m ctctag`` is the command ``ctctag``."""

import sys

from ctctag.cli import main

sys.exit(main())
