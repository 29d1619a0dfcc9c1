"""PyTorch's side of `examples/step_time --serve`; the protocol is in `servers.py`.

    python benches/peers/torch_steps.py WORKLOAD --data DIR --threads N [--compile]
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

import torch
from safetensors.torch import load_file

import workloads


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workload")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("imported", flush=True)
    sys.stdin.readline()

    file = lambda ending: options.data / f"{options.workload}.{ending}"
    network = json.loads(file("json").read_text())
    batches = load_file(file("batches.safetensors"))
    inputs, targets = batches["inputs"], batches["targets"]
    weights = load_file(file("weights.safetensors"))
    model = workloads.model(network)
    loss_of = torch.compile(workloads.loss) if options.compile else workloads.loss
    print("ready", flush=True)
    for line in sys.stdin:
        warm_up, steps = map(int, line.split())
        model.load_state_dict(weights)
        optimizer = workloads.optimizer(network, model.parameters())
        times, losses = [], []
        for number in range(warm_up + steps):
            x, y = inputs[number % len(inputs)], targets[number % len(inputs)]
            start = time.perf_counter()
            loss = loss_of(model, x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if number >= warm_up:
                times.append((time.perf_counter() - start) * 1e3)
                losses.append(loss.item())
        print(f"{statistics.median(times):.4f} {statistics.fmean(losses):.6f}", flush=True)


if __name__ == "__main__":
    main()
