"""The workloads: their networks in PyTorch, and their files for every framework.

    python benches/peers/workloads.py --out WORK --mnist DIR --cifar DIR --text FILE

writes three sets, without those workloads whose data is not given: the six of `networks.json`; `cnns`, small
convolutional networks drawn by seed; `curves`, in which one size grows from workload to workload. A workload
is three files:

    NAME.json                  its network, as in networks.json, and the float operations of a step
    NAME.batches.safetensors   `inputs` and `targets`: eight batches
    NAME.weights.safetensors   the state dict to start from (seed 0)
"""

import argparse
import json
import math
import pathlib
import random
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
SIX = json.loads((HERE / "networks.json").read_text())
BATCHES = 8
CNNS = 30
BATCH_SIZES = [8, 16, 32, 64, 128, 256, 512, 1024]


def model(network):
    """The network in PyTorch: either a sequence of layers or one of the models that Gradus comes with."""
    if "layers" in network:
        make = lambda type, **options: getattr(nn, type)(**options)
        return nn.Sequential(*(make(**layer) for layer in network["layers"]))
    sys.path.insert(0, str(HERE.parents[1] / "tests" / "interop"))
    from check_models import GPT, ResNet18

    if network["model"] == "resnet18":
        return ResNet18(network["classes"], cifar_stem=True)
    gpt = GPT(network["classes"], network["input"][1], layers=4, heads=4, width=128)
    # As GPT-2 starts; PyTorch's own embeddings are too large for a tied output layer.
    for name, parameter in gpt.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.02)
    return gpt


def optimizer(network, parameters):
    options = dict(network["optimizer"])
    return getattr(torch.optim, options.pop("type"))(parameters, **options)


def loss(model, x, y):
    logits = model(x)
    return F.cross_entropy(logits.flatten(0, -2) if logits.dim() > 2 else logits, y)


def operations(model, x, y):
    """The float operations of a step's products and convolutions, forward and backward, done densely."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss(model, x, y).backward()
    return counter.get_total_flops()


def conv(inputs, outputs, kernel, stride=1, padding=0):
    options = {"kernel_size": kernel, "stride": stride, "padding": padding}
    return {"type": "Conv2d", "in_channels": inputs, "out_channels": outputs, **options}


def linear(inputs, outputs):
    return {"type": "Linear", "in_features": inputs, "out_features": outputs}


RELU, FLATTEN = {"type": "ReLU"}, {"type": "Flatten"}


def pool(kernel, stride, padding=0):
    return {"type": "MaxPool2d", "kernel_size": kernel, "stride": stride, "padding": padding}


def small_cnn(seed):
    """One to five convolutions over images of odd sizes, then one or two linear layers, drawn by the seed."""
    draw = random.Random(seed)
    channels = lambda: round(math.exp(draw.uniform(0, math.log(96))))
    while True:
        batch, c = draw.choice([32, 64]), draw.choice([1, 3, channels()])
        height, width = draw.randrange(7, 48, 2), draw.randrange(7, 48, 2)
        shape, layers, operations = [batch, c, height, width], [], 0
        for _ in range(1 + seed % 5):
            k, stride, outputs = draw.randint(1, 7), draw.choice([1, 1, 1, 2, 3]), channels()
            padding = draw.randint(0, k // 2)
            layers += [conv(c, outputs, k, stride, padding), RELU]
            height, width = ((size + 2 * padding - k) // stride + 1 for size in (height, width))
            operations += 2 * batch * outputs * height * width * c * k * k
            c = outputs
            if draw.random() < 0.4:
                k = draw.choice([2, 3])
                stride, padding = draw.choice([2, k]), draw.randint(0, k // 2)
                layers.append(pool(k, stride, padding))
                height, width = ((size + 2 * padding - k) // stride + 1 for size in (height, width))
            if min(height, width) < 1:
                break
        features = c * height * width
        # Small ones, but more than the recording of a step: from 2 million operations to 1 thousand million.
        if min(height, width) < 1 or not 2e6 < operations < 1e9 or features > 50_000:
            continue
        layers.append(FLATTEN)
        if draw.random() < 0.5:
            hidden = draw.randint(16, 256)
            layers += [linear(features, hidden), RELU]
            features = hidden
        layers.append(linear(features, 10))
        momentum = {"type": "SGD", "lr": 0.01, "momentum": 0.9}
        options = draw.choice([momentum, {"type": "Adam", "lr": 0.001}])
        return {"data": "random", "input": shape, "classes": 10, "optimizer": options, "layers": layers}


def cnns():
    return {f"cnn-{seed:02}": small_cnn(seed) for seed in range(CNNS)}


def curves():
    """CURVE@SIZE. In each, the work is proportional to the size (plus what the other layers do)."""

    def sized(name, size, **changes):
        return {**SIX[name], "size": size, **changes}

    networks = {}
    for name in ["mnist_mlp", "cifar_cnn"]:
        for size in BATCH_SIZES:
            shape = [size, *SIX[name]["input"][1:]]
            networks[f"{name}-batch@{size}"] = sized(name, size, input=shape)
    for depth in [1, 2, 4, 8, 16]:
        hidden = [layer for _ in range(depth) for layer in (linear(256, 256), RELU)]
        layers = [FLATTEN, linear(784, 256), RELU, *hidden, linear(256, 10)]
        networks[f"mlp-depth@{depth}"] = sized("mnist_mlp_adam", depth, layers=layers)
        hidden = [layer for _ in range(depth) for layer in (conv(16, 16, 3, padding=1), RELU)]
        layers = [conv(3, 16, 3, padding=1), RELU, *hidden, pool(4, 4), FLATTEN, linear(1024, 10)]
        networks[f"cnn-depth@{depth}"] = sized("cifar_cnn", depth, layers=layers)
    for width in [64, 128, 256, 512, 1024, 2048]:
        layers = [FLATTEN, linear(784, width), RELU, linear(width, 10)]
        networks[f"mlp-width@{width}"] = sized("mnist_mlp_adam", width, layers=layers)
    for width in [8, 16, 32, 64, 128]:
        layers = [conv(3, 16, 3, padding=1), RELU, conv(16, width, 3, padding=1), RELU]
        layers += [pool(4, 4), FLATTEN, linear(64 * width, 10)]
        networks[f"cnn-width@{width}"] = sized("cifar_cnn", width, layers=layers)
    return networks


# The names of sets, and what makes their networks.
SETS = {"six": lambda: SIX, "cnns": cnns, "curves": curves}


def mnist_batches(folder, count):
    from accuracy import mnist

    x, y = mnist(folder, "train")
    return x[:count], y[:count]


def cifar_batches(folder, count):
    from PIL import Image
    import numpy

    classes = sorted((folder / "train").iterdir())
    files = [sorted(one.iterdir()) for one in classes]
    images = [numpy.asarray(Image.open(files[i % 10][i // 10])) for i in range(count)]
    x = torch.tensor(numpy.stack(images)).permute(0, 3, 1, 2) / 255
    return (x - 0.5) / 0.5, torch.arange(count) % 10


def text_batches(file, count, context=64):
    text = file.read_text(encoding="utf-8")
    common = sorted(set(text), key=lambda c: (-text.count(c), c))[:65]
    tokens = torch.tensor([common.index(c) for c in text if c in common])
    blocks = tokens[: count * context + 1]
    if len(blocks) < count * context + 1:
        sys.exit(f"{file}: {len(tokens)} characters are too few; give a longer text")
    return blocks[:-1].view(-1, context), blocks[1:]


def random_batches(shape, count):
    """Noise around a pattern for each class, so that there is something to learn."""
    torch.manual_seed(0)
    y = torch.randint(10, (count,))
    return torch.randn(count, *shape) + torch.randn(10, *shape)[y], y


def write(folder, name, network, x, y):
    torch.manual_seed(0)
    net = model(network)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    save_file(state, folder / f"{name}.weights.safetensors")
    x = x.reshape(BATCHES, *network["input"]).contiguous().clone()
    y = y.reshape(BATCHES, -1).clone()
    save_file({"inputs": x, "targets": y}, folder / f"{name}.batches.safetensors")
    network = {**network, "operations": operations(net, x[0], y[0])}
    (folder / f"{name}.json").write_text(json.dumps(network, indent=1))


def main():
    parser = argparse.ArgumentParser(description="Writes the workloads' files.")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    for name, what in {"mnist": "IDX files", "cifar": "image files"}.items():
        parser.add_argument(f"--{name}", type=pathlib.Path, metavar="DIR", help=what)
    parser.add_argument("--text", type=pathlib.Path, metavar="FILE", help="any text of 50,000 characters")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    read = {"mnist": mnist_batches, "cifar": cifar_batches, "text": text_batches}
    known = {}
    for name, network in ((n, w) for one in options.sets for n, w in SETS[one]().items()):
        data, shape = network["data"], network["input"]
        count = BATCHES * shape[0]
        if data == "random":
            x, y = random_batches(shape[1:], count)
        elif place := getattr(options, data):
            if count not in known.get(data, {}):
                known[data] = {count: read[data](place, count)}
            x, y = known[data][count]
        else:
            print(f"skipped: {name} needs --{data}")
            continue
        write(options.out, name, network, x, y)
        print(f"{name}: inputs {shape}")


if __name__ == "__main__":
    main()
