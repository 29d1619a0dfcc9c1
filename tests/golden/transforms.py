"""Golden values for the deterministic parts of image transforms, as torchvision computes them.

Writes crates/data/tests/golden/transforms.txt: a line for each case, `NAME CHANNELS HEIGHT WIDTH HEX`,
whose pixels are channel by channel; the first two lines are the inputs. Geometry and sharpness are
torchvision's on Pillow images, colours and blur those of its kernels for uint8 tensors.

    pip install torchvision pillow; python tests/golden/transforms.py
"""

import math
import pathlib

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode as I
from torchvision.transforms.v2 import functional as F

OUT = pathlib.Path(__file__).parents[2] / "crates/data/tests/golden/transforms.txt"


def picture(height, width):
    """A smooth picture with an edge and some noise."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(6).integers(0, 60, (height, width, 3))
    waves = np.stack([90 + 80 * np.sin(x / 3), 8 * (x + y), 200 - 9 * y + 0 * x], axis=-1)
    waves[:, width // 2 :, 0] += 40
    return Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))


COLOUR = picture(13, 17)
GREY = COLOUR.convert("L")
TENSOR = F.pil_to_tensor(COLOUR)


def cases():
    yield "colour", COLOUR
    yield "grey", GREY
    for name, how in [("nearest", I.NEAREST), ("bilinear", I.BILINEAR), ("bicubic", I.BICUBIC)]:
        for size in [(5, 6), (7, 17), (13, 8), (20, 31), (1, 1)]:
            yield f"resize-{name}-{size[0]}x{size[1]}", F.resize(COLOUR, list(size), how)
        yield f"resize-{name}-shorter", F.resize(COLOUR, [9], how)
    yield "resize-grey", F.resize(GREY, [6, 30], I.BILINEAR)
    yield "center-crop", F.center_crop(COLOUR, [6, 6])
    yield "center-crop-larger", F.center_crop(COLOUR, [16, 10])
    for mode in ["constant", "edge", "reflect", "symmetric"]:
        yield f"pad-{mode}", F.pad(COLOUR, [3, 1, 4, 5], fill=7, padding_mode=mode)
    yield "horizontal-flip", F.horizontal_flip(COLOUR)
    yield "vertical-flip", F.vertical_flip(COLOUR)
    for name, how in [("nearest", I.NEAREST), ("bilinear", I.BILINEAR)]:
        for angle in [20, -75, 90, 180]:
            yield f"rotate-{name}-{angle}", F.rotate(COLOUR, angle, how, fill=9)
        moved = dict(angle=-12, translate=[2, -1], scale=1.2, shear=[8.0, -5.0])
        yield f"affine-{name}", F.affine(COLOUR, interpolation=how, **moved)
        start = [[0, 0], [16, 0], [16, 12], [0, 12]]
        end = [[1, 2], [14, 0], [15, 12], [3, 10]]  # No edge of it passes through the centre of a pixel.
        yield f"perspective-{name}", F.perspective(COLOUR, start, end, how, fill=50)
    still = dict(angle=0.0, scale=1.0)
    shear = math.degrees(math.atan(0.27))
    yield "op-shear-x", F.affine(COLOUR, translate=[0, 0], shear=[shear, 0.0], center=[0, 0], **still)
    yield "op-shear-y", F.affine(COLOUR, translate=[0, 0], shear=[0.0, shear], center=[0, 0], **still)
    yield "op-translate-x", F.affine(COLOUR, translate=[-4, 0], shear=[0.0, 0.0], **still)
    yield "op-translate-y", F.affine(COLOUR, translate=[0, 3], shear=[0.0, 0.0], **still)
    yield "op-rotate", F.rotate(COLOUR, 27.0)
    for factor in [0.0, 0.4, 1.6]:
        yield f"brightness-{factor}", F.adjust_brightness(TENSOR, factor)
        yield f"contrast-{factor}", F.adjust_contrast(TENSOR, factor)
        yield f"saturation-{factor}", F.adjust_saturation(TENSOR, factor)
        yield f"sharpness-{factor}", F.adjust_sharpness(COLOUR, factor)
    for turn in [-0.4, 0.1, 0.5]:
        yield f"hue-{turn}", F.adjust_hue(TENSOR, turn)
    yield "to-grey", F.rgb_to_grayscale(COLOUR, 1)
    yield "invert", F.invert(COLOUR)
    yield "posterize-3", F.posterize(COLOUR, 3)
    yield "solarize-128", F.solarize(COLOUR, 128)
    yield "autocontrast", F.autocontrast(COLOUR)
    yield "equalize", F.equalize(F.resize(COLOUR, [40, 40], I.BICUBIC))
    for size, sigma in [(3, 0.8), (5, 1.7), (9, 2.0)]:
        yield f"blur-{size}-{sigma}", F.gaussian_blur(TENSOR, [size, size], [sigma, sigma])


def line(name, image):
    pixels = image if isinstance(image, torch.Tensor) else F.pil_to_tensor(image)
    shape = " ".join(map(str, pixels.shape))
    return f"{name} {shape} {pixels.contiguous().numpy().tobytes().hex()}\n"


OUT.parent.mkdir(exist_ok=True)
OUT.write_text("".join(line(*case) for case in cases()))
