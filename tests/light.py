"""Skips an import that takes each process seconds. A plugin, too: ``-p tests.light`` comes before other plugins."""

import sys

# jsonschema, which Jupyter imports, would compile a grammar of IRIs for 2 s in each process. It does without.
sys.modules.setdefault("rfc3987_syntax", None)
