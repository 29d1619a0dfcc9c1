"""Trains the networks of lessons 3 to 5 in PyTorch and prints losses and test accuracy.

    python benches/peers/accuracy.py --model mnist_mlp_sgd --data DIR [--seed 0]
    python benches/peers/accuracy.py --model cifar_cnn --data DIR [--seed 0]

DIR holds MNIST's four IDX files (gzip), or CIFAR-10 as image files in `train/CLASS` and `test/CLASS`.
"""

import argparse
import gzip
import pathlib

import numpy
import torch
import torch.nn.functional as F
from torch import nn


def read_idx(path, header):
    return numpy.frombuffer(gzip.open(path).read(), numpy.uint8, offset=header)


def mnist(folder, part):
    prefix = {"train": "train", "test": "t10k"}[part]
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 8)
    return torch.tensor(images) / 255, torch.tensor(labels).long()


def cifar(folder, part):
    from PIL import Image

    images, labels = [], []
    for label, folder in enumerate(sorted((folder / part).iterdir())):
        for file in sorted(folder.iterdir()):
            images.append(numpy.asarray(Image.open(file)))
            labels.append(label)
    images = torch.tensor(numpy.stack(images)).permute(0, 3, 1, 2)
    return (images / 255 - 0.5) / 0.5, torch.tensor(labels)


class MnistCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 32, 3), nn.Linear(21632, 10)

    def forward(self, x):
        return self.fc(F.relu(self.conv(x)).flatten(1))


class CifarCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


def mnist_mlp():
    layers = nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    return nn.Sequential(nn.Flatten(), *layers)


SGD, Adam = torch.optim.SGD, torch.optim.Adam

# Name: data, model, optimizer, epochs.
MODELS = {
    "mnist_mlp_sgd": (mnist, mnist_mlp, lambda p: SGD(p, 1e-3, momentum=0.9), 5),
    "mnist_mlp_adam": (mnist, mnist_mlp, lambda p: Adam(p, 1e-3), 3),
    "mnist_cnn": (mnist, MnistCnn, lambda p: SGD(p, 0.01), 3),
    "cifar_cnn": (cifar, CifarCnn, lambda p: Adam(p, 1e-3), 5),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(2)
    read, make, make_optimizer, epochs = MODELS[options.model]
    (x, y), (test_x, test_y) = read(options.data, "train"), read(options.data, "test")

    torch.manual_seed(options.seed)
    model = make()
    optimizer = make_optimizer(model.parameters())
    for epoch in range(1, epochs + 1):
        losses = []
        for batch in torch.randperm(len(x)).split(64):
            loss = F.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch}: mean loss {sum(losses) / len(losses):.4f}")
    with torch.no_grad():
        hits = sum((model(a).argmax(1) == b).sum().item() for a, b in zip(test_x.split(500), test_y.split(500)))
    print(f"{options.model}, seed {options.seed}: test accuracy {100 * hits / len(test_y):.2f}%")


if __name__ == "__main__":
    main()
