"""The same small picture in every format that is read.

    pip install pillow; python tests/golden/pictures.py
"""

import pathlib

import numpy as np
from PIL import Image

out = pathlib.Path(__file__).parents[2] / "crates/data/tests/golden"
y, x = np.mgrid[0:9, 0:12]
picture = Image.fromarray(np.stack([20 * x, 25 * y, 200 - 8 * (x + y)], axis=-1).astype(np.uint8))
picture.save(out / "picture.png")
picture.save(out / "picture.bmp")
picture.save(out / "picture-lossless.webp", lossless=True)
picture.save(out / "picture.webp", quality=90)
picture.save(out / "picture.jpg", quality=90)
