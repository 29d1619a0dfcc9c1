"""Checks that models mean the same in Gradus and in PyTorch: same state dicts, same logits.

    cargo run --release --example exchange -- save DIR
    python tests/interop/check_models.py DIR
    cargo run --release --example exchange -- check DIR

Loads what Gradus saved strictly into the same modules written in PyTorch, compares the logits, and
writes weights and answers of PyTorch's own for Gradus to check.
"""

import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

TOLERANCE = 2e-5


class LeNet(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))
        return self.fc3(x)


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            around = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(around, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet18(nn.Module):
    def __init__(self, classes, cifar_stem=False):
        super().__init__()
        size, stride = (3, 1) if cifar_stem else (7, 2)
        self.conv1 = nn.Conv2d(3, 64, size, stride, size // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.Identity() if cifar_stem else nn.MaxPool2d(3, 2, 1)
        stage = lambda i, o, s: nn.Sequential(BasicBlock(i, o, s), BasicBlock(o, o, 1))
        self.layer1, self.layer2 = stage(64, 64, 1), stage(64, 128, 2)
        self.layer3, self.layer4 = stage(128, 256, 2), stage(256, 512, 2)
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        self.heads = heads

    def forward(self, x):
        n, length, width = x.shape
        split = lambda t: t.view(n, length, self.heads, width // self.heads).transpose(1, 2)
        q, k, v = map(split, self.c_attn(x).split(width, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(n, length, width))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), Attention(width, heads)
        self.ln_2, self.mlp = nn.LayerNorm(width), Mlp(width)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, vocabulary, context, layers, heads, width):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.h = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


MODELS = {
    "lenet": lambda: LeNet(3, 10),
    "resnet18": lambda: ResNet18(1000),
    "resnet18_cifar": lambda: ResNet18(10, cifar_stem=True),
    "gpt": lambda: GPT(65, 32, layers=2, heads=4, width=64),
}


def main():
    folder = pathlib.Path(sys.argv[1])
    for name, make in MODELS.items():
        model = make()
        answers = load_file(folder / f"{name}.answers.safetensors")
        inputs, expected = answers["inputs"], answers["logits"]
        model.load_state_dict(load_file(folder / f"{name}.safetensors"), strict=True)
        model.eval()
        with torch.no_grad():
            logits = model(inputs)
        difference = ((logits - expected).abs().max() / logits.abs().max()).item()
        print(f"{name}: Gradus's weights give its logits, within {difference:.1e} of the largest")
        if difference > TOLERANCE:
            sys.exit(f"{name}: the logits differ by {difference:.1e}, more than {TOLERANCE:.0e}")

        torch.manual_seed(1)
        model = make()
        with torch.no_grad():
            model(inputs)  # in training: running statistics that are not those of the beginning
            model.eval()
            own = {"inputs": inputs, "logits": model(inputs)}
        state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        save_file(state, folder / f"{name}.torch.safetensors")
        save_file(own, folder / f"{name}.torch.answers.safetensors")


if __name__ == "__main__":
    main()
