"""Spares each process an import that takes seconds, and each saved file a write to the disk.

A plugin, too: ``-p tests.light`` comes before other plugins.
"""

import os
import shutil
import sys
import tempfile

# jsonschema, which Jupyter imports, would compile a grammar of IRIs for 2 s in each process. It does without.
sys.modules.setdefault("rfc3987_syntax", None)

# A saved file is on disk before it gets its name, which takes milliseconds each time. In memory it takes none.
MEMORY, ENOUGH = "/dev/shm", 4 << 30
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH:
    os.environ["TMPDIR"] = MEMORY
    tempfile.tempdir = None
