"""How fast PyTorch's DataLoader is on the data of `load_speed`: the fastest of several epochs.

    python benches/peers/loader.py mnist DIR           # the folder that holds MNIST/raw, or the .gz files
    python benches/peers/loader.py images DIR          # folders train and test of JPEGs, a folder for each class

Options: --workers (2 processes), --epochs (3), --batch-size (64). Torchvision does the transforms; MNIST is read
here, so that a tensor in memory and the usual transforms are what is measured. With --gradus BINARY, which is
`target/release/examples/load_speed`, Gradus runs after each epoch of PyTorch, in the same run:

    cargo build --release -p gradus-data --example load_speed
    python benches/peers/loader.py images DIR --gradus target/release/examples/load_speed
"""

import argparse
import gzip
import pathlib
import re
import subprocess
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset

parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["mnist", "images"])
parser.add_argument("dir", type=pathlib.Path)
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--gradus", type=pathlib.Path)
options = parser.parse_args()
torch.set_num_threads(1 if options.workers else 2)


def idx(name):
    for folder in [options.dir, options.dir / "MNIST/raw"]:
        for path in [folder / name, folder / f"{name}.gz"]:
            if path.is_file():
                content = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
                axes = content[3]
                shape = np.frombuffer(content, ">u4", axes, 4).astype(int)
                return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    raise SystemExit(f"{name} is not in {options.dir}")


class MNIST(Dataset):
    """As torchvision's class: a Pillow image for each sample, then ToTensor and Normalize."""

    def __init__(self, transform):
        self.data = torch.from_numpy(idx("train-images-idx3-ubyte").copy())
        self.targets = torch.from_numpy(idx("train-labels-idx1-ubyte").astype(np.int64))
        self.transform = transform

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        image, target = self.data[index], int(self.targets[index])
        return self.transform(Image.fromarray(image.numpy(), mode="L")), target


def normalized(mean, std):
    from torchvision import transforms

    return transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])


if options.what == "mnist":
    dataset = MNIST(normalized([0.1307], [0.3081]))
else:
    from torchvision.datasets import ImageFolder

    transform = normalized([0.491, 0.482, 0.447], [0.247, 0.243, 0.262])
    dataset = ConcatDataset([ImageFolder(options.dir / part, transform) for part in ["train", "test"]])

loader = DataLoader(
    dataset,
    batch_size=options.batch_size,
    shuffle=True,
    num_workers=options.workers,
    persistent_workers=options.workers > 0,
)


def gradus():
    """The milliseconds of an epoch of Gradus: the last number of `load_speed` that is one."""
    command = [options.gradus, options.what, options.dir, "--epochs", "3", "--batch-size", str(options.batch_size)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.findall(r"([0-9.]+) ms", said)[-1])


best = float("inf")
peer = float("inf")
for _ in range(options.epochs):
    start = time.perf_counter()
    for images, labels in loader:
        pass
    best = min(best, time.perf_counter() - start)
    if options.gradus:
        peer = min(peer, gradus())
print(
    f"PyTorch {torch.__version__}, {options.what}, batches of {options.batch_size}, "
    f"{options.workers} workers: {1e3 * best:.1f} ms for {len(dataset)} samples"
)
if options.gradus:
    print(f"Gradus: {peer:.1f} ms; PyTorch takes {1e3 * best / peer:.1f} times as long")
