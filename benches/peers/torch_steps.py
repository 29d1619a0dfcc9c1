"""PyTorch's side of `examples/step_time.rs --serve`: prints `ready`, then answers each line `STEPS` with
`MILLISECONDS LOSS`, the median time of a step and the mean loss from the initial weights on.

    python benches/peers/torch_steps.py WORKLOAD --data DIR [--threads N] [--compile]
"""

import argparse
import pathlib
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from workloads import BATCHES, WORKLOADS


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    name = options.workload
    make, make_optimizer, _, _ = WORKLOADS[name]
    batches = load_file(options.data / f"{name}.batches.safetensors")
    inputs, targets = batches["inputs"], batches["targets"]
    weights = load_file(options.data / f"{name}.weights.safetensors")
    model = make()
    warm_up = 2 if name == "resnet18" else 16

    def loss_of(x, y):
        logits = model(x)
        return F.cross_entropy(logits.flatten(0, -2) if logits.dim() > 2 else logits, y)

    loss_of = torch.compile(loss_of) if options.compile else loss_of
    print("ready", flush=True)
    for line in sys.stdin:
        model.load_state_dict(weights)
        optimizer = make_optimizer(model.parameters())
        times, losses = [], []
        for number in range(warm_up + int(line)):
            x, y = inputs[number % BATCHES], targets[number % BATCHES]
            start = time.perf_counter()
            loss = loss_of(x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if number >= warm_up:
                times.append((time.perf_counter() - start) * 1e3)
                losses.append(loss.item())
        print(f"{statistics.median(times):.4f} {statistics.fmean(losses):.6f}", flush=True)


if __name__ == "__main__":
    main()
