"""Codecs by the standard library alone, for tests: one for each kind of codes."""

import sys
import zlib
from array import array

from layton_bench_child import Array, serve

SIDE = 8  # of a block


class Half:
    """Latents are the images; decoding halves them."""

    def encode(self, images):
        return {"latents": images}

    def decode(self, codes, size_px, seeds):
        latents = codes["latents"]
        assert latents.shape[2:] == size_px
        return Array(latents.shape, array("f", (value * 0.5 for value in latents.values)))


class Corners:
    """The grey level of each block's first pixel, one of 256."""

    def encode(self, images):
        count, _, height, width = images.shape
        codes = array("q")
        for image in range(count):
            for y in range(0, height, SIDE):
                for x in range(0, width, SIDE):
                    value = images.values[image * 3 * height * width + y * width + x]
                    codes.append(round((value + 1) * 127.5))
        shape = (count, height // SIDE * (width // SIDE))
        return {"codes": Array(shape, codes), "codebook_size": 256}

    def decode(self, codes, size_px, seeds):
        height, width = size_px
        count, blocks = codes["codes"].shape
        assert codes["codebook_size"] == 256
        values = array("f")
        for image in range(count):
            grid = codes["codes"].values[image * blocks : (image + 1) * blocks]
            rows = [grid[i : i + width // SIDE] for i in range(0, blocks, width // SIDE)]
            plane = array("f")
            for row in rows:
                line = array("f", (v / 127.5 - 1 for v in row for _ in range(SIDE)))
                plane.extend(line * SIDE)
            values.extend(plane * 3)
        return Array((count, 3, height, width), values)


class Packed:
    """The pixels of each image as zlib packs them."""

    def encode(self, images):
        pixels = bytes(round((value + 1) * 127.5) for value in images.values)
        size = len(pixels) // images.shape[0]
        parts = [pixels[i : i + size] for i in range(0, len(pixels), size)]
        return {"payloads": [zlib.compress(part) for part in parts]}

    def decode(self, codes, size_px, seeds):
        pixels = b"".join(zlib.decompress(payload) for payload in codes["payloads"])
        values = array("f", (level / 127.5 - 1 for level in pixels))
        return Array((len(codes["payloads"]), 3, *size_px), values)


def load(start):
    print("on", start.device, start.dtype, "with", start.options)  # must not reach the protocol
    return {"half": Half, "corners": Corners, "packed": Packed}[start.options["codec"]]()


serve(load, card={"name": sys.argv[1], "kind": "tokenizer"})
