"""Studies of properties that no labelled set measures, mainly of stream detectors; `registry` lists them."""
