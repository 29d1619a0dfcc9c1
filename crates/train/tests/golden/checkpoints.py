"""Writes what is kept in checkpoint folders, made without Gradus: checkpoint-v1, a checkpoint in version 1 of the
format; dump-v1 and dump-v2, a step that went wrong, in each version of that.

    python crates/train/tests/golden/checkpoints.py
"""

import hashlib
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent


def safetensors(names, dtype="F32", shape=(2, 3)):
    header, data = {}, b""
    count = shape[0] * shape[1]
    for i, name in enumerate(names):
        code = {"F32": "f", "F64": "d"}[dtype]
        values = struct.pack(f"<{count}{code}", *(1.0 + x * i for x in range(count)))
        offsets = [len(data), len(data) + len(values)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        data += values
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    text += " " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text.encode() + data


def write(folder, files):
    manifest = "gradus checkpoint 1\n"
    for name, content in files.items():
        manifest += f"{hashlib.sha256(content).hexdigest()}  {len(content)}  {name}\n"
    manifest += hashlib.sha256(manifest.encode()).hexdigest() + "\n"
    folder = HERE / folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (files | {"MANIFEST": manifest.encode()}).items():
        (folder / name).write_bytes(content)


def write_dump(version, training, state):
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
    write(f"dump-v{version}/step-0000000004", files)


write(
    "checkpoint-v1/step-0000000001",
    {
        "model.safetensors": safetensors(["0.weight", "0.bias"], "F64", (4, 5)),
        "training.safetensors": safetensors(["optimizer.0.exp_avg", "totals.loss.sum"], "F64", (4, 5)),
        "state.json": json.dumps({"step": 1.0, "version": 1}, indent=2).encode(),
    },
)
write_dump(1, ["inputs", "targets"], {})
update = {
    "lrs": [0.003],
    "momentums": [0.9],
    "clip_value": None,
    "clip_norm": 0.5,
    "accumulated": {"batches": 1, "samples": 2, "weight": 2, "losses": 0.75, "random": [11, 12]},
    "ends_step": True,
}
write_dump(
    2,
    ["batch.inputs", "batch.targets", "optimizer.0.exp_avg", "grad.0"],
    {"update": update},
)
