from .any import open_images as open_images
