"""Writes dump-v1 and dump-v2: a step that went wrong, in each version of the format, made without Gradus.

    python crates/train/tests/golden/dumps.py
"""

import hashlib
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent
NAME = "step-0000000004"


def safetensors(names):
    header, data = {}, b""
    for i, name in enumerate(names):
        values = struct.pack("<6f", *(1.0 + x * i for x in range(6)))
        offsets = [len(data), len(data) + len(values)]
        header[name] = {"dtype": "F32", "shape": [2, 3], "data_offsets": offsets}
        data += values
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    text += " " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text.encode() + data


def write(version, training, state):
    state |= {
        "version": version,
        "steps_before": 4,
        "epoch": 2,
        "batch": 3,
        "samples": [5, 7],
        "first_sample": 2,
        "random": [11, 12],
        "error": "loss is NaN",
        "build": {"gradus": "0.1.0", "target": "x86_64-linux", "instructions": "avx2"},
    }
    files = {
        "model.safetensors": safetensors(["0.weight", "0.bias"]),
        "training.safetensors": safetensors(training),
        "state.json": json.dumps(state, indent=2, sort_keys=True).encode(),
        "note.txt": b"beside",
    }
    manifest = "gradus checkpoint 1\n"
    for name, content in files.items():
        manifest += f"{hashlib.sha256(content).hexdigest()}  {len(content)}  {name}\n"
    manifest += hashlib.sha256(manifest.encode()).hexdigest() + "\n"
    files["MANIFEST"] = manifest.encode()
    folder = HERE / f"dump-v{version}" / NAME
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


write(1, ["inputs", "targets"], {})
update = {
    "lrs": [0.003],
    "momentums": [0.9],
    "clip_value": None,
    "clip_norm": 0.5,
    "accumulated": {"batches": 1, "samples": 2, "weight": 2, "losses": 0.75, "random": [11, 12]},
    "ends_step": True,
}
write(
    2,
    ["batch.inputs", "batch.targets", "optimizer.0.exp_avg", "grad.0"],
    {"update": update},
)
