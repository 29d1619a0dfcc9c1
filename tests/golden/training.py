"""Golden values for 100 training steps: every optimizer, in f64 and in f32.

The network is Linear(12 → 16) → ReLU → Linear(16 → 8) → ReLU → Linear(8 → 5) under mean
cross-entropy. Four batches of 16 samples take turns. Both precisions start from the same numbers,
which f32 holds exactly.

`training.safetensors` holds
    inputs [4, 16, 12] f32, labels [4, 16] i64; step i uses batch i % 4
    initial/KEY                 the state dict before the first step (f32; widen it for f64)
    CASE/DTYPE/losses [100]     the loss of each step, before its update (DTYPE: f64 or f32)
    CASE/DTYPE/final/KEY        the state dict after the last step
    CASE/lr [100] f64           where "changing_lr" is true: the learning rate of each step
and `training.json` lists the cases: the optimizer and its parameter groups, every option spelled
out.

The initial values are drawn by PyTorch's own generator, whose stream Gradus does not reproduce.
What a test of Gradus's initialisation can rely on instead is the distribution: PyTorch draws the
weight and the bias of `Linear(in, out)` alike from U(-1/√in, 1/√in), so with mean 0, variance
1/(3·in) and no value outside the bounds (the weight's `kaiming_uniform_` with a = √5 is just that).
"""

import math

import torch
from torch import nn

from golden import deterministic, emit

STEPS, BATCHES, BATCH = 100, 4, 16
SGD = dict(lr=0.05, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False)
ADAM = dict(lr=1e-2, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0, amsgrad=False)
ALL = [f"{layer}.{kind}" for layer in (0, 2, 4) for kind in ("weight", "bias")]
WEIGHTS = [key for key in ALL if key.endswith("weight")]
BIASES = [key for key in ALL if key.endswith("bias")]


def case(name, optimizer, *groups, changing_lr=False):
    """A group is `(parameter names, options that differ from the optimizer's defaults)`."""
    defaults = {"SGD": SGD, "Adam": ADAM}[optimizer]
    groups = [dict(parameters=names, **{**defaults, **options}) for names, options in groups]
    return dict(name=name, optimizer=optimizer, changing_lr=changing_lr, groups=groups)


CASES = [
    case("sgd", "SGD", (ALL, {})),
    case("sgd_momentum", "SGD", (ALL, dict(momentum=0.9))),
    case("sgd_dampening", "SGD", (ALL, dict(momentum=0.9, dampening=0.1, weight_decay=1e-2))),
    case("sgd_nesterov", "SGD", (ALL, dict(momentum=0.9, nesterov=True, weight_decay=1e-3))),
    case(
        "sgd_groups",
        "SGD",
        (WEIGHTS, dict(momentum=0.9, weight_decay=1e-2)),
        (BIASES, dict(lr=0.1, momentum=0.9)),
    ),
    case("sgd_changing_lr", "SGD", (ALL, dict(momentum=0.9)), changing_lr=True),
    case("adam", "Adam", (ALL, {})),
    case("adam_options", "Adam", (ALL, dict(weight_decay=1e-2, betas=[0.8, 0.95], eps=1e-6))),
    case("adam_amsgrad", "Adam", (ALL, dict(amsgrad=True, betas=[0.9, 0.9]))),
    case("adam_groups", "Adam", (WEIGHTS, dict(weight_decay=1e-2)), (BIASES, dict(lr=2e-3))),
    case("adam_changing_lr", "Adam", (ALL, {}), changing_lr=True),
]


def network():
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 5))


def changing_lr(step):
    """A warm-up of ten steps, then half a cosine: no two steps share a rate by accident."""
    return 0.05 * min((step + 1) / 10, 0.5 * (1 + math.cos(math.pi * step / STEPS)))


def train(case, dtype, initial, inputs, labels):
    model = network().to(dtype)
    model.load_state_dict(initial)
    parameters = dict(model.named_parameters())
    groups = [
        {**group, "params": [parameters[key] for key in group["parameters"]]}
        for group in case["groups"]
    ]
    for group in groups:
        del group["parameters"]
    optimizer = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}[case["optimizer"]](groups)
    losses = []
    for step in range(STEPS):
        if case["changing_lr"]:
            for group in optimizer.param_groups:
                group["lr"] = changing_lr(step)
        x, y = inputs[step % BATCHES].to(dtype), labels[step % BATCHES]
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses), model.state_dict()


def main():
    deterministic()
    torch.manual_seed(1827)
    initial = network().state_dict()
    inputs = torch.randn(BATCHES, BATCH, 12)
    # Labels that a linear rule explains in part: something to learn, and something left over.
    labels = (inputs @ torch.randn(12, 5) + 2 * torch.randn(BATCHES, BATCH, 5)).argmax(-1)

    tensors = {"inputs": inputs, "labels": labels}
    tensors |= {f"initial/{key}": value for key, value in initial.items()}
    for case in CASES:
        name = case["name"]
        if case["changing_lr"]:
            tensors[f"{name}/lr"] = torch.tensor(
                [changing_lr(i) for i in range(STEPS)], dtype=torch.float64
            )
        for label, dtype in (("f64", torch.float64), ("f32", torch.float32)):
            losses, final = train(case, dtype, initial, inputs, labels)
            tensors[f"{name}/{label}/losses"] = losses
            tensors |= {f"{name}/{label}/final/{key}": value for key, value in final.items()}
    emit("training", tensors, CASES, torch=torch.__version__, steps=STEPS, batches=BATCHES)


if __name__ == "__main__":
    main()
