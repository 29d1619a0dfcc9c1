"""Writes tests/golden/checkpoint-v1: a checkpoint in version 1 of the format, made without Gradus.

    python crates/train/tests/checkpoints/golden_v1.py
"""

import hashlib
import json
import pathlib
import struct

FOLDER = pathlib.Path(__file__).parent.parent / "golden/checkpoint-v1/step-0000000001"


def safetensors(names):
    header, data = {}, b""
    for i, name in enumerate(names):
        values = struct.pack("<20d", *(1.0 + x * i for x in range(20)))
        offsets = [len(data), len(data) + len(values)]
        header[name] = {"dtype": "F64", "shape": [4, 5], "data_offsets": offsets}
        data += values
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    text += " " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text.encode() + data


files = {
    "model.safetensors": safetensors(["0.weight", "0.bias"]),
    "training.safetensors": safetensors(["optimizer.0.exp_avg", "totals.loss.sum"]),
    "state.json": json.dumps({"step": 1.0, "version": 1}, indent=2).encode(),
}
manifest = "gradus checkpoint 1\n"
for name, content in files.items():
    manifest += f"{hashlib.sha256(content).hexdigest()}  {len(content)}  {name}\n"
manifest += hashlib.sha256(manifest.encode()).hexdigest() + "\n"
files["MANIFEST"] = manifest.encode()

FOLDER.mkdir(parents=True, exist_ok=True)
for name, content in files.items():
    (FOLDER / name).write_bytes(content)
