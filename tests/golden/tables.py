"""The same table as CSV, Parquet and Arrow files: every type of numbers, texts, booleans, nulls.

    python tests/golden/tables.py

Numbers are multiples of 1/8, so that every type holds them exactly.
"""

import decimal
import pathlib

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq

OUT = pathlib.Path(__file__).parents[2] / "crates/data/tests/golden/tables"
ROWS = 40


def column(number, every):
    """A value for each row, and in some rows none."""
    return [None if every and i % every == every - 1 else number(i) for i in range(ROWS)]


def table():
    columns = {}
    for bits in (8, 16, 32, 64):
        signed = getattr(pa, f"int{bits}")()
        unsigned = getattr(pa, f"uint{bits}")()
        columns[f"i{bits}"] = pa.array(column(lambda i: (i * 7) % 90 - 45, 0), signed)
        columns[f"u{bits}"] = pa.array(column(lambda i: (i * 5) % 60, 9), unsigned)
    for bits in (16, 32, 64):
        kind = getattr(pa, f"float{bits}")()
        columns[f"f{bits}"] = pa.array(column(lambda i: (i * 11 % 64 - 32) / 8, 7), kind)
    columns["flag"] = pa.array(column(lambda i: i % 3 == 0, 0), pa.bool_())
    cents = column(lambda i: decimal.Decimal(i * 25) / 100, 0)
    columns["price"] = pa.array(cents, pa.decimal128(9, 2))
    cities = ["Rome", "Oslo", "Zürich", "a, b"]
    columns["city"] = pa.array(column(lambda i: cities[i * i % 4], 8), pa.string())
    columns["code"] = pa.array(column(lambda i: 100 - i % 3, 0), pa.int16())
    columns["class"] = pa.array(column(lambda i: ["no", "yes", "maybe"][i % 3], 0), pa.string())
    columns["y"] = pa.array(column(lambda i: i / 4 - 3, 0), pa.float64())
    return pa.table(columns)


def encoded(full):
    """Texts as dictionaries, which Arrow files keep."""
    fields = [("city", pa.int8()), ("class", pa.int32())]
    for name, keys in fields:
        kind = pa.dictionary(keys, pa.string())
        full = full.set_column(full.schema.get_field_index(name), name, full[name].cast(kind))
    return full.set_column(
        full.schema.get_field_index("f64"), "f64", full["f64"].dictionary_encode()
    )


OUT.mkdir(exist_ok=True)
full = table()
pa.csv.write_csv(full, OUT / "table.csv")
for codec in ("none", "snappy", "gzip", "zstd", "lz4"):
    pq.write_table(full, OUT / f"{codec}.parquet", compression=codec, row_group_size=15)
pq.write_table(full, OUT / "plain.parquet", use_dictionary=False, data_page_version="2.0")
pq.write_table(encoded(full), OUT / "dictionary.parquet", row_group_size=7)
for codec in ("uncompressed", "lz4", "zstd"):
    pa.feather.write_feather(full, str(OUT / f"{codec}.feather"), compression=codec, chunksize=15)
with pa.ipc.new_file(str(OUT / "dictionary.arrow"), encoded(full).schema) as writer:
    writer.write_table(encoded(full), max_chunksize=15)
with pa.ipc.new_stream(str(OUT / "stream.arrows"), encoded(full).schema) as writer:
    writer.write_table(encoded(full), max_chunksize=15)
views = full.set_column(full.schema.get_field_index("city"), "city", full["city"].cast(pa.string_view()))
views = views.set_column(full.schema.get_field_index("class"), "class", views["class"].cast(pa.large_string()))
with pa.ipc.new_stream(str(OUT / "views.arrows"), views.schema) as writer:
    writer.write_table(views, max_chunksize=15)
# What is not read, beside what is.
odd = pa.table({"x": [1.5, 2.5], "day": pa.array([1, 2], pa.date32()), "y": [1, 2]})
pq.write_table(odd, OUT / "odd.parquet")
with pa.ipc.new_file(str(OUT / "odd.arrow"), odd.schema) as writer:
    writer.write_table(odd)
