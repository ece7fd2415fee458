"""The Image Search side of the sandbox: batch tasks judged, a gallery kept, reports served.

It knows nothing of the rest of imgprep but `imgprep.settings`: it judges with code of its own, written from the
vendor's guide, so that agreement between the two means something.
"""

from imgprep.sandbox.imagesearch.faults import Reply
from imgprep.sandbox.imagesearch.readings import OPEN_POINTS, OpenPoint
from imgprep.sandbox.imagesearch.service import ImageSearch
from imgprep.sandbox.imagesearch.switches import ImageSearchSwitches
from imgprep.sandbox.imagesearch.tasks import World

__all__ = ["OPEN_POINTS", "ImageSearch", "ImageSearchSwitches", "OpenPoint", "Reply", "World"]
