"""The six workloads in PyTorch; writes their batches and initial weights for every framework.

    python benches/peers/workloads.py --mnist DIR --cifar DIR --text FILE --out DIR

writes WORKLOAD.batches.safetensors (`inputs` and `targets`, eight batches of real data) and
WORKLOAD.weights.safetensors (a state dict with seed 0) for each workload.
"""

import argparse
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "interop"))
from check_models import GPT, LeNet, ResNet18  # noqa: E402

BATCHES = 8


def mnist_cnn():
    return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(21632, 10))


def mlp():
    layers = nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    return nn.Sequential(nn.Flatten(), *layers)


def gpt():
    model = GPT(65, 64, layers=4, heads=4, width=128)
    # As GPT-2 starts; PyTorch's own embeddings are too large for a tied output layer.
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.02)
    return model


SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW

# Name: model, optimizer, dataset, batch size.
WORKLOADS = {
    "mnist_cnn": (mnist_cnn, lambda p: SGD(p, 0.01), "mnist", 64),
    "mnist_mlp": (mlp, lambda p: SGD(p, 1e-3, momentum=0.9), "mnist", 64),
    "mnist_mlp_adam": (mlp, lambda p: Adam(p, 1e-3), "mnist", 64),
    "cifar_cnn": (lambda: LeNet(3, 10), lambda p: Adam(p, 1e-3), "cifar", 64),
    "gpt": (gpt, lambda p: AdamW(p, 1e-3), "text", 12),
    "resnet18": (
        lambda: ResNet18(10, cifar_stem=True),
        lambda p: SGD(p, 0.01, momentum=0.9),
        "cifar",
        32,
    ),
}


def mnist_batches(folder, size):
    from accuracy import mnist

    x, y = mnist(folder, "train")
    return x[: BATCHES * size], y[: BATCHES * size]


def cifar_batches(folder, size):
    from PIL import Image
    import numpy

    classes = sorted((folder / "train").iterdir())
    images, labels = [], []
    for i in range(BATCHES * size):
        file = sorted(classes[i % 10].iterdir())[i // 10]
        images.append(numpy.asarray(Image.open(file)))
        labels.append(i % 10)
    x = torch.tensor(numpy.stack(images)).permute(0, 3, 1, 2) / 255
    return (x - 0.5) / 0.5, torch.tensor(labels)


def text_batches(file, size, context=64):
    text = file.read_text(encoding="utf-8")
    common = sorted(set(text), key=lambda c: (-text.count(c), c))[:65]
    tokens = torch.tensor([common.index(c) for c in text if c in common])
    blocks = tokens[: BATCHES * size * context + 1]
    if len(blocks) < BATCHES * size * context + 1:
        sys.exit(f"{file}: {len(tokens)} characters are too few; give a longer text")
    x, y = blocks[:-1].view(-1, context), blocks[1:]
    return x, y


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("mnist", "cifar", "text", "out"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, (model, _, dataset, size) in WORKLOADS.items():
        read = {"mnist": mnist_batches, "cifar": cifar_batches, "text": text_batches}[dataset]
        x, y = read(getattr(options, dataset), size)
        x = x.reshape(BATCHES, size, *x.shape[1:]).contiguous().clone()
        y = y.reshape(BATCHES, -1).clone()
        save_file({"inputs": x, "targets": y}, options.out / f"{name}.batches.safetensors")
        torch.manual_seed(0)
        state = {key: value.clone() for key, value in model().state_dict().items()}
        save_file(state, options.out / f"{name}.weights.safetensors")
        print(f"{name}: inputs {list(x.shape)}, targets {list(y.shape)}")


if __name__ == "__main__":
    main()
