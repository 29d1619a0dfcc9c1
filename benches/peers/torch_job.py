"""A whole job in PyTorch as its tutorials write it: dataset, transforms, loader, loop, evaluation (`mnist_cnn`).

    python benches/peers/torch_job.py --data ROOT [--epochs 3] [--threads 2] [--workers 0] [--seed 0]

ROOT is torchvision's: it holds MNIST/raw. Prints the accuracy on the test images. `end_to_end.py` calls it.
"""

import argparse

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from accuracy import MnistCnn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    for name, default in {"epochs": 3, "threads": 2, "workers": 0, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)

    normalize = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    train = datasets.MNIST(options.data, train=True, transform=normalize)
    test = datasets.MNIST(options.data, train=False, transform=normalize)
    workers = {"num_workers": options.workers, "persistent_workers": options.workers > 0}
    train = DataLoader(train, batch_size=64, shuffle=True, **workers)
    test = DataLoader(test, batch_size=1000, **workers)

    model = MnistCnn()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(options.epochs):
        for images, labels in train:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        hits = sum((model(images).argmax(1) == labels).sum().item() for images, labels in test)
    print(f"{100 * hits / len(test.dataset):.2f}")


if __name__ == "__main__":
    main()
