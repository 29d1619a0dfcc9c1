"""Packs scikit-learn's copy of the UCI handwritten digits into the two IDX files embedded here.

    python make_digits.py [path/to/digits.csv.gz]

Without a path, the file is taken from the installed scikit-learn. Only the standard library decides
the result, so any Python writes the same bytes before compression.

The split: samples are ordered by (label, SHA-256 of their row number), and 360 of them, evenly
spaced in that order, are the test samples. So each class gives a fifth of its samples to within
one, whatever the order of the file, and no random generator's version matters. The 1,437 training
samples are written first, then the test samples, each in the order of the original file.
"""

import gzip
import hashlib
import pathlib
import struct
import sys

TEST = 360


def source() -> pathlib.Path:
    if len(sys.argv) > 1:
        return pathlib.Path(sys.argv[1])
    import sklearn

    return pathlib.Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"


def write_idx(name: str, dims: list[int], data: bytes) -> None:
    header = bytes([0, 0, 8, len(dims)]) + struct.pack(f">{len(dims)}I", *dims)
    path = pathlib.Path(__file__).parent / name
    path.write_bytes(gzip.compress(header + data, compresslevel=9, mtime=0))
    print(f"{name}: {path.stat().st_size:,} bytes")


def main() -> None:
    with gzip.open(source(), "rt") as file:
        rows = [[int(float(field)) for field in line.split(",")] for line in file]
    assert len(rows) == 1797 and all(len(row) == 65 for row in rows)
    assert all(0 <= pixel <= 16 for row in rows for pixel in row[:64])
    assert sum(sum(row[:64]) for row in rows) == 561718

    def place(i: int) -> tuple[int, str]:
        return rows[i][64], hashlib.sha256(str(i).encode()).hexdigest()

    ordered = sorted(range(len(rows)), key=place)
    test = {ordered[k * len(rows) // TEST] for k in range(TEST)}
    order = [i for i in range(len(rows)) if i not in test] + sorted(test)

    images = b"".join(bytes(rows[i][:64]) for i in order)
    labels = bytes(rows[i][64] for i in order)
    write_idx("digits-images-idx3-ubyte.gz", [len(rows), 8, 8], images)
    write_idx("digits-labels-idx1-ubyte.gz", [len(rows)], labels)


if __name__ == "__main__":
    main()
