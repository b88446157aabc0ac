from .any import ImageDataset as ImageDataset, open_images as open_images
