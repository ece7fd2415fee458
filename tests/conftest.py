"""What all tests share."""

import hypothesis

# A slow machine is no failure: nothing here asserts on time.
hypothesis.settings.register_profile("imgprep", deadline=None)
hypothesis.settings.load_profile("imgprep")
