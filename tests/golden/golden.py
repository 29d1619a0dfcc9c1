"""How the golden files are written: `NAME.json` for the cases, `NAME.safetensors` for every number.

JSON has no NaN, no infinity and no -0.0, and decimal text invites rounding; so the JSON file holds
only structure and the options that appear in code. Both files are byte-identical from run to run on
one machine; another processor may round the last bits of a few values differently.
"""

import argparse
import json
import pathlib
import sys

import torch
from safetensors.torch import save

HERE = pathlib.Path(__file__).parent


def deterministic():
    """One thread and no choice of algorithm: the precondition of byte-identical files."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def emit(name, tensors, cases, **header):
    """Writes the pair of files, or with `--check` compares it with what is checked in."""
    parser = argparse.ArgumentParser(description=f"Writes {name}.json and {name}.safetensors.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if files differ")
    check = parser.parse_args().check

    lines = [f"{json.dumps(key)}: {json.dumps(value)}," for key, value in header.items()]
    rows = ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
    text = "\n".join(["{", *lines, '"cases": [', rows, "]", "}", ""])
    contents = {
        f"{name}.json": text.encode(),
        f"{name}.safetensors": save({key: t.detach().contiguous() for key, t in tensors.items()}),
    }
    for file, content in contents.items():
        path = HERE / file
        if check:
            if not path.exists() or path.read_bytes() != content:
                sys.exit(f"{file} differs from what this machine computes; rerun without --check")
        else:
            path.write_bytes(content)
        print(f"{file}: {len(content):,} bytes, {len(cases)} cases")
