"""Makes the seeds: small sound files of every format, from which mutations and fuzzing start.

    python tests/golden/seeds.py

One folder for each reader of `crates/data/src/datasets/readers.rs`; what is in it must be read without an error.
"""

import gzip
import io
import pathlib
import struct
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq
import scipy.io
from PIL import Image

out = pathlib.Path(__file__).parents[2] / "crates/data/tests/seeds"
rng = np.random.default_rng(0)


def write(path, content):
    (out / path).parent.mkdir(parents=True, exist_ok=True)
    (out / path).write_bytes(content)


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


# A gradient with a square in it, and a little noise: enough for every kind of block to appear.
y, x = np.mgrid[0:19, 0:22]
pixels = np.stack([8 * x + y, 10 * y, 255 - 6 * x - 3 * y], axis=-1) + rng.integers(0, 12, (19, 22, 3))
pixels[5:12, 8:15] = [250, 30, 60]
colour = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
grey, palette, bits = colour.convert("L"), colour.quantize(16), colour.convert("1")
clear = colour.copy()
clear.putalpha(grey)

for name, image in {"grey": grey, "palette": palette, "bits": bits, "rgb": colour, "rgba": clear}.items():
    write(f"png/{name}.png", saved(image, "PNG"))
write("png/grey-alpha.png", saved(clear.convert("LA"), "PNG"))
write("png/deep.png", saved(Image.fromarray(pixels[..., 0].astype(np.uint16) * 256), "PNG"))
write("jpeg/grey.jpg", saved(grey, "JPEG"))
write("jpeg/rgb.jpg", saved(colour, "JPEG", subsampling=0))
write("jpeg/half.jpg", saved(colour, "JPEG", subsampling=2, optimize=True))
write("jpeg/progressive.jpg", saved(colour, "JPEG", progressive=True))
write("jpeg/cmyk.jpg", saved(colour.convert("CMYK"), "JPEG"))
write("jpeg/restart.jpg", saved(colour, "JPEG", restart_marker_blocks=2))
write("webp/lossy.webp", saved(colour, "WEBP", quality=50))
write("webp/lossless.webp", saved(colour, "WEBP", lossless=True))
write("webp/alpha.webp", saved(clear, "WEBP", quality=50))
write("webp/palette.webp", saved(palette.convert("RGB"), "WEBP", lossless=True))
write("webp/animated.webp", saved(colour, "WEBP", save_all=True, append_images=[grey.convert("RGB")]))
for name, image in {"grey": grey, "palette": palette, "bits": bits, "rgb": colour, "rgba": clear}.items():
    write(f"bmp/{name}.bmp", saved(image, "BMP"))

plain = struct.pack(">HBB3I", 0, 8, 3, 3, 2, 2) + bytes(range(1, 13))
write("idx/plain", plain)
write("idx/packed.gz", gzip.compress(plain, mtime=0))


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


numbers = np.arange(6, dtype="<i4").reshape(2, 3)
write("npy/whole.npy", npy(numbers))
write("npy/fortran.npy", npy(np.asfortranarray(numbers.astype(">f8"))))
write("npy/half.npy", npy(numbers.astype("f2"), version=(2, 0)))
write("npy/bool.npy", npy(numbers > 2))
header = b"{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }".ljust(69) + b"\n"
write("npy/columns.npy", b"\x93NUMPY\x01\x00\x46\x00" + header + bytes(range(24)))
for name, save in {"stored": np.savez, "packed": np.savez_compressed}.items():
    file = io.BytesIO()
    save(file, f4=numbers.astype("f4"), u1=numbers.astype("u1"))
    write(f"npz/{name}.npz", file.getvalue())

for name, compressed in {"plain": False, "packed": True}.items():
    images = np.arange(2 * 3 * 32 * 32, dtype=np.uint8).reshape(32, 32, 3, 2)
    digits = {"X": images, "y": np.array([[10], [7]], np.uint8)}
    for folder, content in {
        "svhn": digits,
        "mat": {"a": numbers.astype("f8"), "b": numbers.astype("u1"), "c": np.array([[1 + 2j]]), "d": "text"},
    }.items():
        file = io.BytesIO()
        scipy.io.savemat(file, content, do_compression=compressed)
        # The header holds the time.
        header = b"MATLAB 5.0 MAT-file".ljust(116)
        write(f"{folder}/{name}.mat", header + file.getvalue()[116:])

image = (np.arange(3072) % 251).astype(np.uint8).tobytes()
write("cifar10/two.bin", bytes([3]) + image + bytes([9]) + image)
write("cifar100/two.bin", bytes([19, 99]) + image + bytes([0, 3]) + image)
write("stl10/one.bin", bytes([10]) + (np.arange(3 * 96 * 96) % 251).astype(np.uint8).tobytes())

forms = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
for name, form in forms.items():
    file = io.BytesIO()
    other = "x/b.bin" if name == "ustar" else "x/" + "long/" * 25 + "b.bin"
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for path, content in {other: b"other", "x/a.bin": b"hello"}.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    write(f"tar-gz/{name}.tar.gz", gzip.compress(file.getvalue(), mtime=0))

write("csv/plain.csv", b"a,b,y\n1,2,3\n4.5,-6e-1,7\n8,9,10\n")
write("csv/quoted.csv", b'"a, of all","b ""c""",y\r\n 1 ,"2",3\r\n4,5,6\r\n')
columns = {
    "a": pa.array([1, None, 3, 250, 4, 5], pa.uint8()),
    "c": pa.array(["Rome", "Oslo", "Rome", None, "Zürich", "Rome"]),
    "f": pa.array([True, False, None, True, True, False]),
    "y": pa.array([0.5, 1.5, -2.0, 8.0, 1e3, 2.0]),
}
rows = pa.table(columns)
encoded = rows.set_column(1, "c", rows["c"].cast(pa.dictionary(pa.int8(), pa.string())))


def made(save, *arguments, **options):
    sink = pa.BufferOutputStream()
    save(*arguments, sink, **options)
    return sink.getvalue().to_pybytes()


def messages(make, of):
    """The rows as messages, in two batches."""
    sink = pa.BufferOutputStream()
    with make(sink, of.schema) as writer:
        writer.write_table(of, max_chunksize=4)
    return sink.getvalue().to_pybytes()


small = {"store_schema": False, "write_statistics": False}
for codec in ("snappy", "gzip", "zstd", "lz4"):
    write(f"parquet/{codec}.parquet", made(pq.write_table, rows, compression=codec, **small))
plain = {"compression": "none", "use_dictionary": False, "row_group_size": 4, **small}
write("parquet/plain.parquet", made(pq.write_table, rows, **plain))
pages = {"compression": "none", "data_page_version": "2.0", "write_page_index": True}
write("parquet/pages.parquet", made(pq.write_table, rows, **pages))
encodings = {"a": "DELTA_BINARY_PACKED", "c": "PLAIN", "f": "RLE", "y": "BYTE_STREAM_SPLIT"}
encodings = {"use_dictionary": False, "column_encoding": encodings, **small}
write("parquet/encodings.parquet", made(pq.write_table, rows, **encodings))
for codec in ("uncompressed", "lz4", "zstd"):
    write(f"arrow/{codec}.feather", made(pa.feather.write_feather, rows, compression=codec))
write("arrow/stream.arrows", messages(pa.ipc.new_stream, encoded))
write("arrow/file.arrow", messages(pa.ipc.new_file, encoded))
views = rows.set_column(1, "c", rows["c"].cast(pa.string_view()))
write("arrow/views.arrows", messages(pa.ipc.new_stream, views))

write("text/plain.txt", "Die Würde des Menschen ist unantastbar. 人间 🙂\n".encode())
