"""Run the `imgprep` command as `python -m imgprep`."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the current folder: a module among the images must not be imported

from imgprep.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
