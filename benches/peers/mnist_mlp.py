"""PyTorch's side of `examples/mnist_mlp`: the same network and the same loop, written by hand.

    python mnist_mlp.py --data DIR                  train on the IDX files in DIR, then test
    python mnist_mlp.py --step-time                 the median time of a training step
    python mnist_mlp.py --serve                     the same, block by block, for `compare.py`

A step is forward, loss, backward, `optimizer.step` and `zero_grad` on one batch of 64, the work of
the loop without the reading of data.
"""

import argparse
import gzip
import pathlib
import statistics
import sys
import time

import numpy as np
import torch
from torch import nn

BATCH = 64
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-3, momentum=0.9),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
}


def network():
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 512),
        nn.ReLU(),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Linear(512, 10),
    )


def read_idx(folder, name):
    """An IDX file, gzipped or not, as an array."""
    for path, opener in ((folder / name, open), (folder / f"{name}.gz", gzip.open)):
        if path.exists():
            with opener(path, "rb") as file:
                content = file.read()
            break
    else:
        sys.exit(f"{folder / name}: no such file, nor {name}.gz")
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


def read_mnist(folder, part):
    images = torch.tensor(read_idx(folder, f"{part}-images-idx3-ubyte"))
    labels = torch.tensor(read_idx(folder, f"{part}-labels-idx1-ubyte"))
    return images.float().div(255).unsqueeze(1), labels.long()


def train(model, optimizer, images, labels):
    criterion = nn.CrossEntropyLoss()
    total = 0.0
    for index in torch.randperm(len(labels)).split(BATCH):
        loss = criterion(model(images[index]), labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(index)
    return total / len(labels)


@torch.no_grad()
def test(model, images, labels):
    logits = torch.cat([model(batch) for batch in images.split(1000)])
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return accuracy, nn.functional.cross_entropy(logits, labels).item()


def run(arguments):
    training, testing = (read_mnist(arguments.data, part) for part in ("train", "t10k"))
    model = network()
    optimizer = OPTIMIZERS[arguments.optimizer](model.parameters())
    for epoch in range(1, arguments.epochs + 1):
        start = time.perf_counter()
        loss = train(model, optimizer, *training)
        print(f"epoch {epoch}: loss {loss:.4f} ({time.perf_counter() - start:.1f} s)", flush=True)
    accuracy, loss = test(model, *testing)
    print(f"test: accuracy {accuracy:.2%}, average loss {loss:.4f}")


class Stepper:
    """Training steps on one fixed random batch, for timing."""

    def __init__(self, optimizer):
        self.model, self.criterion = network(), nn.CrossEntropyLoss()
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.images = torch.rand(BATCH, 1, 28, 28)
        self.labels = torch.randint(0, 10, (BATCH,))
        self.milliseconds(20)  # warm-up

    def milliseconds(self, steps):
        """The median over `steps` steps."""
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            loss = self.criterion(self.model(self.images), self.labels)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            times.append(time.perf_counter() - start)
        return 1e3 * statistics.median(times)


def serve():
    """Prints `ready`, then answers every line `OPTIMIZER STEPS` with the median milliseconds.

    Each block starts from new weights: a network that knows its one batch by heart has gradients of
    0 and subnormal averages of them, which are slow on any framework.
    """
    print("ready", flush=True)
    for line in sys.stdin:
        name, steps = line.split()
        print(f"{Stepper(name).milliseconds(int(steps)):.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="PyTorch's side of the mnist_mlp example.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--data", type=pathlib.Path, help="train on the MNIST files in this folder")
    mode.add_argument("--step-time", action="store_true", help="time a training step")
    mode.add_argument("--serve", action="store_true", help="time blocks of steps on request")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    if arguments.serve:
        serve()
    elif arguments.step_time:
        for name in OPTIMIZERS:
            print(f"{name}: {Stepper(name).milliseconds(500):.3f} ms per step")
    else:
        run(arguments)


if __name__ == "__main__":
    main()
