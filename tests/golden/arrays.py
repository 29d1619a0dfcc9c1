"""Arrays of every type that NumPy has for numbers, in one archive.

    python tests/golden/arrays.py
"""

import pathlib

import numpy as np

unsigned = np.arange(6).reshape(2, 3)
signed = unsigned * np.where(unsigned == 5, -1, 1)
arrays = {}
for name in ["u1", "i1", "b1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]:
    arrays[name] = (unsigned if name[0] in "ub" else signed).astype(name)
arrays["big"] = signed.astype(">i4")
arrays["fortran"] = np.asfortranarray(np.arange(24).reshape(2, 3, 4))
arrays["object"] = np.array([None])
out = pathlib.Path(__file__).parents[2] / "crates/data/tests/golden/arrays.npz"
np.savez_compressed(out, **arrays)
