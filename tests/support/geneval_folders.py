"""Pictures in GenEval's folder layout."""

from PIL import Image

from layton_bench.tasks.geneval import sample_path


def write_sample(root, number, k, image):
    """Write picture k of a prompt, uint8 RGB (H, W, 3)."""
    path = sample_path(root, number, k)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
