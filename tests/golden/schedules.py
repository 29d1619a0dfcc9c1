"""Golden values for learning-rate schedules: 100 steps of each, for two groups of parameters.

`schedules.safetensors` holds
    CASE/lrs [101, 2] f64         the rates before the first step of the schedule and after each
    CASE/momentums [101] f64      for schedules that cycle it: the momentum of the first group
    metrics [100] f64             what the cases of ReduceLROnPlateau look at
and `schedules.json` lists the cases. A schedule is `[class, options]`, with `schedules` and
`milestones` among the options of those that are made of others. The groups start with the rates
0.05 and 0.2.
"""

import math

import torch
from torch.optim import SGD, AdamW, lr_scheduler

from golden import deterministic, emit

STEPS = 100


def case(name, kind, optimizer="SGD", **options):
    return dict(name=name, optimizer=optimizer, schedule=[kind, options])


LINEAR = ["LinearLR", dict(start_factor=0.1, total_iters=10)]
CASES = [
    case("step", "StepLR", step_size=30),
    case("step_gamma", "StepLR", step_size=7, gamma=0.8),
    case("multi_step", "MultiStepLR", milestones=[60, 20, 20, 85], gamma=0.5),
    case("exponential", "ExponentialLR", gamma=0.97),
    case("polynomial", "PolynomialLR"),
    case("polynomial_power", "PolynomialLR", total_iters=90, power=2.5),
    case("constant", "ConstantLR"),
    case("constant_options", "ConstantLR", factor=0.25, total_iters=40),
    case("linear", "LinearLR"),
    case("linear_options", "LinearLR", start_factor=0.9, end_factor=0.05, total_iters=70),
    case("cosine", "CosineAnnealingLR", T_max=100),
    case("cosine_cycles", "CosineAnnealingLR", T_max=30, eta_min=0.01),
    case("warm_restarts", "CosineAnnealingWarmRestarts", T_0=30),
    case("warm_restarts_growing", "CosineAnnealingWarmRestarts", T_0=7, T_mult=2, eta_min=0.002),
    case("one_cycle", "OneCycleLR", max_lr=0.4, total_steps=100),
    case("one_cycle_adam", "OneCycleLR", optimizer="AdamW", max_lr=0.4, total_steps=100),
    case("one_cycle_linear", "OneCycleLR", max_lr=[0.1, 0.4], total_steps=120, pct_start=0.45, anneal_strategy="linear", base_momentum=0.7, max_momentum=0.9, div_factor=10.0, final_div_factor=100.0),
    case("one_cycle_three", "OneCycleLR", max_lr=0.4, total_steps=101, pct_start=0.4, three_phase=True, cycle_momentum=False),
    case("lambda", "LambdaLR"),
    case("sequential", "SequentialLR", schedules=[LINEAR, ["CosineAnnealingLR", dict(T_max=50)], ["ExponentialLR", dict(gamma=0.9)]], milestones=[10, 60]),
    case("sequential_constant", "SequentialLR", schedules=[["ConstantLR", dict(factor=0.1, total_iters=20)], ["StepLR", dict(step_size=10)]], milestones=[20]),
    case("chained", "ChainedScheduler", schedules=[["ConstantLR", dict(factor=0.1, total_iters=20)], ["ExponentialLR", dict(gamma=0.97)]]),
    case("chained_three", "ChainedScheduler", schedules=[LINEAR, ["StepLR", dict(step_size=25, gamma=0.5)], ["CosineAnnealingLR", dict(T_max=100)]]),
    case("plateau", "ReduceLROnPlateau"),
    case("plateau_options", "ReduceLROnPlateau", factor=0.5, patience=3, threshold=0.01, threshold_mode="abs", cooldown=4, min_lr=[0.001, 0.03]),
    case("plateau_max", "ReduceLROnPlateau", mode="max", factor=0.7, patience=2, eps=0.01),
    case("plateau_max_abs", "ReduceLROnPlateau", mode="max", threshold=0.2, threshold_mode="abs", patience=5, min_lr=0.004),
]


def metric(step):
    """Falls, unevenly, to a floor."""
    return 0.3 + math.exp(-step / 12) + 0.05 * math.sin(1.7 * step) + 0.02 * (step > 70)


def build(optimizer, kind, options):
    options = dict(options)
    if kind == "LambdaLR":
        return lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + 0.1 * step))
    if "schedules" in options:
        parts = [build(optimizer, *part) for part in options.pop("schedules")]
        if kind == "ChainedScheduler":
            return lr_scheduler.ChainedScheduler(parts, optimizer)
        return lr_scheduler.SequentialLR(optimizer, parts, **options)
    return getattr(lr_scheduler, kind)(optimizer, **options)


def run(case):
    groups = [dict(params=[torch.zeros(1, requires_grad=True)], lr=lr) for lr in (0.05, 0.2)]
    optimizer = SGD(groups, momentum=0.5) if case["optimizer"] == "SGD" else AdamW(groups)
    scheduler = build(optimizer, *case["schedule"])
    lrs, momentums = [], []

    def note():
        lrs.append([group["lr"] for group in optimizer.param_groups])
        group = optimizer.param_groups[0]
        momentums.append(group["betas"][0] if "betas" in group else group["momentum"])

    note()
    for step in range(STEPS):
        optimizer.step()
        if case["schedule"][0] == "ReduceLROnPlateau":
            scheduler.step(metric(step))
        else:
            scheduler.step()
        note()
    return torch.tensor(lrs, dtype=torch.float64), torch.tensor(momentums, dtype=torch.float64)


def main():
    deterministic()
    tensors = {"metrics": torch.tensor([metric(i) for i in range(STEPS)], dtype=torch.float64)}
    for case in CASES:
        lrs, momentums = run(case)
        tensors[f"{case['name']}/lrs"] = lrs
        if case["schedule"][0] == "OneCycleLR":
            tensors[f"{case['name']}/momentums"] = momentums
    emit("schedules", tensors, CASES, torch=torch.__version__, steps=STEPS)


if __name__ == "__main__":
    main()
