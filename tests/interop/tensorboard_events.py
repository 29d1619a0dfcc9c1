"""Reads the event files of a run with TensorBoard, and compares them with the run's own log.

    pip install -r tests/interop/requirements-tensorboard.txt
    gradus train --epochs 3 --tensorboard --out run
    python tests/interop/tensorboard_events.py run

A run that was resumed has several files; what the later ones tell again counts once.
"""

import json
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def main(run):
    run = pathlib.Path(run)
    files = sorted(run.glob("events.out.tfevents.*"))
    assert files, f"{run} has no event files; train with --tensorboard"
    accumulator = EventAccumulator(str(run), size_guidance={"scalars": 0})
    accumulator.Reload()
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [line for line in log if line["event"] == "step"]
    epochs = [line for line in log if line["event"] == "epoch"]
    (test,) = [line for line in log if line["event"] == "evaluation"]

    def check(tag, expected):
        found = [(event.step, event.value) for event in accumulator.Scalars(tag)]
        expected = [(step, f32(value)) for step, value in expected]
        assert found == expected, f"{tag}: TensorBoard has {found[:3]} ..., the log {expected[:3]} ..."
        print(f"{tag}: {len(found)} values")

    check("train/loss", [(s["step"], s["loss"]) for s in steps])
    check("train/lr", [(s["step"], s["lr"]) for s in steps])
    norms = [(s["step"], sum(n * n for n in s["gradient_norms"]) ** 0.5) for s in steps if "gradient_norms" in s]
    found = [(e.step, e.value) for e in accumulator.Scalars("train/gradient_norm")]
    assert [step for step, _ in found] == [step for step, _ in norms], "other steps have norms"
    assert all(abs(a[1] - b[1]) <= 1e-6 * b[1] for a, b in zip(found, norms)), "other norms"
    check("epoch/loss", [(e["step"], e["loss"]) for e in epochs])
    validated = [e for e in epochs if "validation" in e]
    if validated:
        check("validation/loss", [(e["step"], e["validation"]["loss"]) for e in validated])
        check("validation/accuracy", [(e["step"], e["validation"]["score"]["accuracy"]) for e in validated])
    check("test/loss", [(test["step"], test["evaluation"]["average_loss"])])
    first = accumulator.Scalars("train/loss")[0]
    assert abs(first.wall_time - log[0]["environment"]["started"]) < 600, "the times are wrong"
    print(f"TensorBoard reads from {len(files)} files what {run}/log.jsonl holds")


main(*sys.argv[1:])
