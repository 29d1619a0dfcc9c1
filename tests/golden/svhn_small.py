"""A file as SVHN's, of two images: pixel (row, column, channel) is 100·channel + column + image.

    python tests/golden/svhn_small.py
"""

import pathlib

import numpy as np
import scipy.io

row, column, channel, image = np.mgrid[0:32, 0:32, 0:3, 0:2]
out = pathlib.Path(__file__).parents[2] / "crates/data/tests/golden/svhn_small.mat"
content = {"X": (100 * channel + column + image + 0 * row).astype(np.uint8), "y": np.array([[10], [7]], np.uint8)}
scipy.io.savemat(out, content, do_compression=True)
