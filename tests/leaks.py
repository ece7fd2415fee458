"""Watches a test for the secrets it used: in every log, every repr, every file it left, and what it printed.

Keys of other processes (a kernel's sandbox, a command's) are not known here: those are found by their shape.
"""

import contextlib
import gc
import logging
import os
import re
from pathlib import Path

LOGGERS = (
    "imgprep",
    "oss2",
    "alibabacloud_imagesearch20201214",
    "alibabacloud_tea_openapi",
    "alibabacloud_credentials",
)
LOGGERS += ("credentials", "darabonba", "Tea", "urllib3", "requests", "py.warnings")
#: The secrets and tokens that a sandbox gives out. A picture in a notebook may contain these letters by chance.
MARKS = ("sandbox-secret-", "CAIS")
SHAPE = re.compile(r"sandbox-secret-[\w-]{20}|(?<![\w+/])CAIS[\w-]{100}")
#: The sandbox keeps its own key, for its next start.
OWN_KEY = "key.json"
REPRS_OF_A_KIND = 50


class Watch(logging.Handler):
    """Secrets, and where they turned up."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        #: Those without a mark, few; and all, looked for where there is a mark: a session has a thousand keys.
        self.secrets: tuple[set[str], set[str]] = (set(), set())
        self.found = []
        self.new = False

    def note(self, credentials):
        """Add a key's secret and token to what is looked for; give the key back."""
        self.new = True
        for text in filter(None, (credentials.access_key_secret, credentials.security_token)):
            self.secrets[True].add(text)
            if not any(mark in text for mark in MARKS):
                self.secrets[False].add(text)
        return credentials

    def look(self, text, where):
        begun = any(mark in text for mark in MARKS)  # a tenth of the time that the pattern takes
        if (begun and SHAPE.search(text)) or any(secret in text for secret in self.secrets[begun]):
            self.found.append(where)

    def emit(self, record):
        formatted = self.format(record)
        self.look(formatted, f"the log of {record.name}: {record.msg!r}"[:200])

    def end(self):
        """Fail if a secret was found since the last end."""
        found, self.found = sorted(set(self.found)), []
        assert not found, f"a secret stands in {'; '.join(found)}"

    def look_at_reprs(self):
        """Everything of ours that is alive and not frozen."""
        left = {}
        for thing in gc.get_objects():
            kind = type(thing)
            if kind not in left:
                left[kind] = REPRS_OF_A_KIND if str(kind.__module__).startswith("imgprep.") else 0
            if left[kind]:
                left[kind] -= 1
                with contextlib.suppress(Exception):  # half made, or half gone
                    self.look(repr(thing), f"the repr of a {kind.__qualname__}")

    def look_at_files(self, folder: Path):
        files = (Path(at) / name for at, _, names in os.walk(folder) for name in names if name != OWN_KEY)
        for file in filter(Path.is_file, files):  # a pipe would be read for ever
            with contextlib.suppress(OSError):  # a server that ends may still be clearing up
                self.look(file.read_bytes().decode("latin-1"), f"the file {file}")
