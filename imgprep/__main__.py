"""Run the `imgprep` command as `python -m imgprep`."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the current folder: no module that lies among the images may be run

from imgprep.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
