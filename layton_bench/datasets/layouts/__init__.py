"""One layout of images on disk per module."""
