"""A local OSS and Image Search, to rehearse a batch on before it is paid for, and to test against.

It imports nothing of imgprep but `imgprep.settings`: it judges rows, images and policies with code of its own, so that
its agreement with `imgprep.check` means something.
"""

from imgprep.sandbox.clock import Clock
from imgprep.sandbox.config import Switches
from imgprep.sandbox.faults import Fault
from imgprep.sandbox.oss.service import Handled
from imgprep.sandbox.sandbox import Sandbox

__all__ = ["Clock", "Fault", "Handled", "Sandbox", "Switches"]
