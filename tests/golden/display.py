"""Writes display.txt: tensors and the text that PyTorch prints for them.

    python tests/golden/display.py

Each case is a line "# dtype [shape] requires_grad | values", then the text. The values are repeated
to fill the shape. Gradus writes dtypes without "torch.".
"""

import itertools
import math
import pathlib

import torch
from torch import _tensor_str

GOLDEN = pathlib.Path(__file__).with_suffix(".txt").open("w")

add_suffixes = _tensor_str._add_suffixes
# Before lines are wrapped, because the length counts.
_tensor_str._add_suffixes = lambda text, suffixes, *rest, **options: add_suffixes(
    text, [s.replace("torch.", "") for s in suffixes], *rest, **options
)


def case(dtype, shape, values, requires_grad=False):
    filled = list(itertools.islice(itertools.cycle(values or [0]), math.prod(shape)))
    tensor = torch.tensor(filled, dtype=getattr(torch, dtype)).reshape(shape)
    # What the dtype holds, so that reading the file needs no rounding.
    stored = torch.tensor(values, dtype=getattr(torch, dtype)).tolist()
    numbers = " ".join(str(int(v) if isinstance(v, bool) else v) for v in stored)
    grad = " requires_grad" if requires_grad else ""
    print(f"# {dtype} {list(shape)}{grad} | {numbers}".rstrip(), file=GOLDEN)
    print(tensor.requires_grad_(requires_grad), file=GOLDEN)


inf, nan = math.inf, math.nan
halves = [i / 2 for i in range(7)]
wild = [math.sin(i * i) * 10.0 ** (i % 3) for i in range(1, 12)]

FLOATS = [
    ([], [3.14]),
    ([], [2.0]),
    ([], [0.0]),
    ([], [-0.0]),
    ([], [nan]),
    ([], [-inf]),
    ([], [1e-5]),
    ([], [123456.789]),
    ([1], [1e10]),
    ([4], [1.0, 2.0, 3.0, 4.0]),
    ([4], [0.5, -1.25, 0.00012, 0.1]),
    ([2, 2], [1.0, 2.0, 3.0, 4.0]),
    ([2, 3], [0.1, -0.2, 0.3, 1.4, -10.5, 100.25]),
    ([3], [1.0, 1001.0, 0.5]),
    ([3], [1.0, 1000.0, 0.5]),
    ([3], [1.0, 1000.0, 3.0]),
    ([3], [1.0, 1001.0, 3.0]),
    ([2], [1e8, 2e8]),
    ([2], [99999999.0, 1e5 + 0.5]),
    ([3], [1e-4, 2e-4, 5e-4]),
    ([3], [9e-5, 2e-4, 5e-4]),
    ([3], [0.00005, 1.00005, 0.5]),
    ([4], [0.0, -0.0, 1.0, -1.0]),
    ([4], [0.0, -0.0, 0.25, -0.25]),
    ([4], [0.0, -0.0, 0.0, 0.0]),
    ([4], [1.0, inf, -inf, nan]),
    ([4], [1.5, inf, -inf, nan]),
    ([4], [1e-7, inf, -inf, nan]),
    ([3], [inf, -inf, nan]),
    ([3], [0.0, inf, nan]),
    ([3], [0.03125, 0.09375, 2.03125]),
    ([2], [1e20, -1e-20]),
    ([2], [1e38, 1e-40]),
    ([2], [12345.0, -1.0]),
    ([2, 2, 2], halves),
    ([2, 1, 3, 2], halves),
    ([1, 1, 1], [7.0]),
    ([30], halves),
    ([3, 20], wild),
    ([40], wild),
    ([5, 40], [1.0, -22.0, 333.0]),
    ([1000], halves),
    ([1001], halves),
    ([1001], wild),
    ([2000], [1.0] * 3 + [5000.5] + [2.0] * 13),
    ([7, 200], wild),
    ([6, 200], wild),
    ([200, 6], halves),
    ([200, 7], halves),
    ([2, 3, 400], wild),
    ([10, 12, 14], halves),
    ([8, 2, 9, 11], wild),
    ([1, 1, 1, 1200], [1.0, 2.0, 3.0]),
    ([0], []),
    ([0, 3], []),
    ([2, 0, 4], []),
]
for shape, values in FLOATS:
    case("float32", shape, values)

for dtype in ["float64", "float16", "bfloat16"]:
    for shape, values in [
        ([], [3.14]),
        ([3], [0.1, 0.2, 0.3]),
        ([3], [1.0, 2.0, 4096.0]),
        ([2, 2], [1.0, inf, nan, -3.0]),
        ([13], [0.125, 100.5]),
        ([12], [0.125, 10.5]),
        ([30, 40], [0.5, 7.25, -3.0]),
        ([0], []),
        ([0, 2], []),
    ]:
        case(dtype, shape, values)
case("float64", [3], [0.1, 123456789.123456789, 1e300])
case("float64", [2], [1e-300, 1e-310])

for dtype in ["int64", "int32", "uint8", "bool"]:
    top = {"int64": 2**63 - 1, "int32": 2**31 - 1, "uint8": 255, "bool": 1}[dtype]
    for shape, values in [
        ([], [1]),
        ([3], [1, 0, 1]),
        ([2, 3], [0, 1, top]),
        ([40], [0, 1, top]),
        ([2, 2, 2], [1, 0]),
        ([2000], [top, 1, 0, 0, 1]),
        ([60, 60], [1, 0, top, 0, 1]),
        ([0], []),
        ([0, 2], []),
    ]:
        case(dtype, shape, values)
case("int64", [2, 2], [-1, 10, -100, 1000])
case("int32", [], [-(2**31)])
case("int64", [2], [-(2**63), 2**63 - 1])

for n in range(8, 15):
    case("float32", [n], [0.25], requires_grad=True)
    case("float64", [n], [0.25], requires_grad=True)
case("float32", [], [1.5], requires_grad=True)
case("float32", [2, 2], [1.5], requires_grad=True)
case("float16", [30, 50], [1.5], requires_grad=True)
case("float64", [0, 5], [], requires_grad=True)
