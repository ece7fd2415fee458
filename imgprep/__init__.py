"""imgprep: prepare and audit product images for Alibaba Cloud Image Search batch operations.

``import imgprep as ip`` provides the names listed in ``__init__.pyi``; each is loaded at first use.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
