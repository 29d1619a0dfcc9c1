"""Golden values for 100 steps of the optimizers beyond plain SGD and Adam (`training.py` has those),
and for clipping gradients.

The network is Linear(6 → 8) → tanh → Linear(8 → 4) under mean cross-entropy: smooth, so that two
correct implementations stay together. Four batches of 8 samples take turns; LBFGS sees the first one
only. All is computed in f64, from numbers that f32 holds exactly; f64 is also made the default
dtype, in which NAdam keeps its product of momenta.

`optimizers.safetensors` holds
    inputs [4, 8, 6] f32, labels [4, 8] i64; step i uses batch i % 4
    initial/KEY               the state dict before the first step (f32; widen it)
    CASE/losses [steps] f64   the loss of each step, before its update
    CASE/final/KEY            the state dict after the last step
    CASE/norms [steps] f64    for a case that clips: what `clip_grad_norm_` returned
and `optimizers.json` lists the cases: the optimizer and its parameter groups with the options that
differ from the defaults, which are thus tested too.

PyTorch has no Lion: it is written out here, from algorithm 2 of arXiv:2302.06675. PyTorch's Muon
iterates in bfloat16, whose rounding depends on the library that multiplies; for the cases marked
`"ns_dtype": "f64"` it is made to iterate in f64, by a `to` that does nothing.
"""

import math

import torch
from torch import nn

from golden import deterministic, emit

STEPS, BATCHES, BATCH = 100, 4, 8
ALL = ["0.weight", "0.bias", "2.weight", "2.bias"]
WEIGHTS, BIASES = ["0.weight", "2.weight"], ["0.bias", "2.bias"]


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            lr, decay, (beta1, beta2) = group["lr"], group["weight_decay"], group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                c = beta1 * m + (1 - beta1) * p.grad
                p -= lr * (c.sign() + decay * p)
                m.copy_(beta2 * m + (1 - beta2) * p.grad)


def case(name, optimizer, *groups, **extra):
    """A group is `(parameter names, options that differ from the optimizer's defaults)`."""
    groups = [dict(parameters=names, options=options) for names, options in groups or [(ALL, {})]]
    return dict(name=name, optimizer=optimizer, steps=STEPS, **extra, groups=groups)


def lbfgs(name, steps, **options):
    return case(name, "LBFGS", (ALL, options)) | dict(steps=steps)


CASES = [
    case("adam_decoupled", "Adam", (ALL, dict(lr=1e-2, weight_decay=0.1, decoupled_weight_decay=True))),
    case("adamw", "AdamW"),
    case("adamw_options", "AdamW", (ALL, dict(lr=1e-2, betas=[0.8, 0.95], eps=1e-6, weight_decay=0.2))),
    case("adamw_amsgrad", "AdamW", (ALL, dict(lr=2e-2, amsgrad=True, betas=[0.9, 0.9]))),
    case("adamw_groups", "AdamW", (WEIGHTS, dict(lr=1e-2, weight_decay=0.1)), (BIASES, dict(lr=2e-2, weight_decay=0.0))),
    case("adamw_changing_lr", "AdamW", (ALL, dict(weight_decay=0.1)), changing_lr=True),
    case("nadam", "NAdam"),
    case("nadam_options", "NAdam", (ALL, dict(lr=1e-2, betas=[0.8, 0.95], eps=1e-6, weight_decay=1e-2, momentum_decay=0.05))),
    case("nadam_decoupled", "NAdam", (ALL, dict(lr=1e-2, weight_decay=0.1, decoupled_weight_decay=True))),
    case("nadam_changing_lr", "NAdam", changing_lr=True),
    case("radam", "RAdam"),
    case("radam_options", "RAdam", (ALL, dict(lr=1e-2, betas=[0.8, 0.95], eps=1e-6, weight_decay=1e-2))),
    case("radam_decoupled", "RAdam", (ALL, dict(lr=1e-2, weight_decay=0.1, decoupled_weight_decay=True))),
    # ρ never exceeds 5: no step is rectified.
    case("radam_short", "RAdam", (ALL, dict(lr=5e-2, betas=[0.9, 0.6]))),
    case("radam_changing_lr", "RAdam", changing_lr=True),
    case("rmsprop", "RMSprop"),
    case("rmsprop_momentum", "RMSprop", (ALL, dict(lr=2e-3, alpha=0.9, eps=1e-6, momentum=0.9, weight_decay=1e-2))),
    case("rmsprop_centered", "RMSprop", (ALL, dict(lr=2e-3, centered=True))),
    case("rmsprop_all", "RMSprop", (WEIGHTS, dict(lr=1e-3, centered=True, momentum=0.8)), (BIASES, dict(lr=2e-3))),
    case("adagrad", "Adagrad"),
    case("adagrad_options", "Adagrad", (ALL, dict(lr=5e-2, lr_decay=1e-2, weight_decay=1e-2, initial_accumulator_value=0.1, eps=1e-6))),
    case("adagrad_changing_lr", "Adagrad", changing_lr=True),
    case("adadelta", "Adadelta"),
    case("adadelta_changing_lr", "Adadelta", changing_lr=True),
    case("adadelta_options", "Adadelta", (ALL, dict(lr=2.0, rho=0.8, eps=1e-4, weight_decay=1e-2))),
    case("lion", "Lion", (ALL, dict(lr=1e-2))),
    case("lion_options", "Lion", (WEIGHTS, dict(lr=2e-3, betas=[0.8, 0.95], weight_decay=0.5)), (BIASES, dict(lr=1e-3))),
    case("lion_changing_lr", "Lion", (ALL, dict(weight_decay=0.1)), changing_lr=True),
    case("muon", "Muon", (WEIGHTS, dict(lr=1e-2, ns_dtype="f64"))),
    case("muon_options", "Muon", (WEIGHTS, dict(lr=2e-2, weight_decay=0.5, momentum=0.8, nesterov=False, ns_steps=3, ns_coefficients=[3.0, -3.2, 1.2], adjust_lr_fn="match_rms_adamw", ns_dtype="f64"))),
    case("muon_spectral", "Muon", (WEIGHTS, dict(lr=2e-2, adjust_lr_fn="spectral_unclamped", ns_dtype="f64"))),
    case("muon_bfloat16", "Muon", (WEIGHTS, dict(lr=1e-2)), tolerance=2e-2),
    case("sgd_clipped", "SGD", (ALL, dict(lr=0.5, momentum=0.9)), clip=dict(max_norm=0.3)),
    case("sgd_clipped_inf", "SGD", (ALL, dict(lr=0.5)), clip=dict(max_norm=0.1, norm_type="inf")),
    case("sgd_clipped_1", "SGD", (ALL, dict(lr=0.5)), clip=dict(max_norm=1.0, norm_type=1.0)),
    case("adam_clipped_3", "Adam", (ALL, dict(lr=1e-2)), clip=dict(max_norm=0.2, norm_type=3.0)),
    case("sgd_clipped_value", "SGD", (ALL, dict(lr=0.5)), clip=dict(clip_value=0.02)),
    lbfgs("lbfgs", 4, lr=0.5),
    lbfgs("lbfgs_short_history", 5, lr=0.3, max_iter=10, history_size=3),
    lbfgs("lbfgs_wolfe", 4, line_search_fn="strong_wolfe"),
    lbfgs("lbfgs_wolfe_options", 6, lr=3.0, max_iter=6, max_eval=9, history_size=4, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"),
    lbfgs("lbfgs_converged", 12, line_search_fn="strong_wolfe", tolerance_grad=2e-2),
]


def network():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))


def changing_lr(step):
    """A warm-up of ten steps, then half a cosine: no two steps share a rate by accident."""
    return 0.02 * min((step + 1) / 10, 0.5 * (1 + math.cos(math.pi * step / STEPS)))


def clip(options, model):
    if "clip_value" in options:
        nn.utils.clip_grad_value_(model.parameters(), options["clip_value"])
        return torch.tensor(0.0)
    norm_type = float(options.get("norm_type", 2.0))
    return nn.utils.clip_grad_norm_(model.parameters(), options["max_norm"], norm_type=norm_type)


class Wide(torch.Tensor):
    """A gradient that stays in f64 where Muon asks for bfloat16."""

    def to(self, *args, **kwargs):
        return self.as_subclass(torch.Tensor).clone()


newton_schulz = torch.optim._muon._zeropower_via_newtonschulz


def train(case, initial, inputs, labels):
    model = network().double()
    model.load_state_dict(initial)
    parameters = dict(model.named_parameters())
    groups = [
        {**group["options"], "params": [parameters[key] for key in group["parameters"]]}
        for group in case["groups"]
    ]
    wide = [group.pop("ns_dtype", None) == "f64" for group in groups]
    torch.optim._muon._zeropower_via_newtonschulz = (
        (lambda grad, *rest: newton_schulz(grad.as_subclass(Wide), *rest)) if any(wide) else newton_schulz
    )
    kind = Lion if case["optimizer"] == "Lion" else getattr(torch.optim, case["optimizer"])
    if case["optimizer"] == "LBFGS":
        [options] = groups
        optimizer = kind(options.pop("params"), **options)
    else:
        # Per-group options where PyTorch has them, constructor arguments where it has not.
        initial_value = groups[0].pop("initial_accumulator_value", None)
        extra = {} if initial_value is None else dict(initial_accumulator_value=initial_value)
        optimizer = kind(groups, **extra)
    losses, norms = [], []

    def loss_of(batch):
        loss = nn.functional.cross_entropy(model(inputs[batch].double()), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        return loss

    for step in range(case["steps"]):
        if case["optimizer"] == "LBFGS":
            losses.append(optimizer.step(lambda: loss_of(0)).detach())
            continue
        if case.get("changing_lr"):
            for group in optimizer.param_groups:
                group["lr"] = changing_lr(step)
        losses.append(loss_of(step % BATCHES).detach())
        if "clip" in case:
            norms.append(clip(case["clip"], model))
        optimizer.step()
    return torch.stack(losses), norms, model.state_dict()


def main():
    deterministic()
    torch.manual_seed(2302)
    initial = network().state_dict()
    inputs = torch.randn(BATCHES, BATCH, 6)
    # Labels that a linear rule explains in part: something to learn, and something left over.
    labels = (inputs @ torch.randn(6, 4) + 2 * torch.randn(BATCHES, BATCH, 4)).argmax(-1)
    torch.set_default_dtype(torch.float64)

    tensors = {"inputs": inputs, "labels": labels}
    tensors |= {f"initial/{key}": value for key, value in initial.items()}
    tensors["lr"] = torch.tensor([changing_lr(i) for i in range(STEPS)])
    for case in CASES:
        name = case["name"]
        losses, norms, final = train(case, initial, inputs, labels)
        tensors[f"{name}/losses"] = losses
        tensors |= {f"{name}/final/{key}": value for key, value in final.items()}
        if norms:
            tensors[f"{name}/norms"] = torch.stack(norms)
        print(f"{name}: {losses[0]:.4f} → {losses[-1]:.3g}")
    emit("optimizers", tensors, CASES, torch=torch.__version__, batches=BATCHES)


if __name__ == "__main__":
    main()
