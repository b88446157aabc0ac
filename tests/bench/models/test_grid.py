"""A grid of codes is one row of codes, row by row, and a grid again; images stay in range."""

import torch

from layton_bench import GridTokenizer


class Bright:
    """Codes are the red channel at every 4th pixel; the decoder overshoots by half."""

    def encode(self, images):
        assert images.dtype == torch.bfloat16
        return images[:, 0, ::4, ::4].round().long()

    def decode(self, codes):
        self.grid = codes
        return 1.5 * codes[:, None].repeat_interleave(4, 2).repeat_interleave(4, 3).bfloat16()


def test_codes_run_row_by_row_whatever_the_shape():
    model = Bright()
    tokenizer = GridTokenizer(model, codebook_size=2, downsample_factor=4, dtype=torch.bfloat16)
    images = torch.zeros(1, 3, 8, 12)
    images[0, 0, 4:, :4] = 1
    codes = tokenizer.encode(images)
    assert codes.codes.tolist() == [[0, 0, 0, 1, 0, 0]]
    assert (codes.codebook_size, codes.size_px, codes.bits()) == (2, (8, 12), (6.0,))
    decoded = tokenizer.decode(codes, [0])
    assert model.grid.tolist() == [[[0, 0, 0], [1, 0, 0]]]
    assert decoded.dtype == torch.float32
    assert decoded[0, 0, 7, 0] == 1.0  # clamped
    assert decoded[0, 0, 0, 0] == 0.0
