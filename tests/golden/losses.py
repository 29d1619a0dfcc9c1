"""Golden values for the losses: values and gradients, in f64.

`losses.json` lists the cases; `losses.safetensors` holds the numbers of case ID under
    ID/in0, ID/in1 …    the arguments of `forward`
    ID/weight …         options that are tensors
    ID/out              the loss
    ID/w, ID/grad0 …    the gradients of sum(out * w) with respect to the inputs in "gradients"

A case reads {"id", "loss", "options", "tensors": options that are tensors, "inputs": how many,
"gradients": [input numbers]}. Options bear PyTorch's names. -100 is never a label here: PyTorch
ignores it unless told otherwise, Gradus does not.
"""

import zlib

import torch
from torch import nn

from golden import deterministic, emit

F64 = torch.float64
NAN, INF = float("nan"), float("inf")
tensors, cases = {}, []


class Draw:
    """Numbers that depend on the case's name alone."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(zlib.crc32(seed.encode()))

    def normal(self, *shape):
        return torch.randn(shape, generator=self.generator, dtype=F64)

    def unit(self, *shape):
        return torch.rand(shape, generator=self.generator, dtype=F64)

    def labels(self, classes, *shape):
        return torch.randint(classes, shape, generator=self.generator)

    def signs(self, *shape):
        return self.labels(2, *shape) * 2 - 1

    def distribution(self, *shape, axis=1):
        return self.normal(*shape).softmax(axis)


def case(id, inputs, gradients=(0,), draw_options=None, **options):
    draw = Draw(id)
    inputs = [x.clone() if torch.is_tensor(x) else x for x in inputs(draw)]
    held = draw_options(draw) if draw_options else {}
    name = id.split("/")[0]
    criterion = getattr(nn, name)(**options, **held)
    tensors.update({f"{id}/in{i}": x.clone() for i, x in enumerate(inputs)})
    tensors.update({f"{id}/{key}": x.clone() for key, x in held.items()})
    for i in gradients:
        inputs[i].requires_grad_()
    out = criterion(*inputs)
    tensors[f"{id}/out"] = out
    tensors[f"{id}/w"] = w = draw.normal(*out.shape)
    if gradients:
        (out * w).sum().backward()
    tensors.update({f"{id}/grad{i}": inputs[i].grad for i in gradients})
    record = {"id": id, "loss": name, "options": options, "tensors": sorted(held)}
    cases.append({**record, "inputs": len(inputs), "gradients": list(gradients)})


REDUCTIONS = ("mean", "sum", "none")


def cross_entropies():
    rows = lambda d: (d.normal(6, 5) * 3, d.labels(5, 6))
    image = lambda d: (d.normal(2, 4, 3, 2), d.labels(4, 2, 3, 2))
    single = lambda d: (d.normal(5), d.labels(5))
    sequence = lambda d: (d.normal(3, 4, 5), d.labels(4, 3, 5))
    weight = lambda n: lambda d: {"weight": d.unit(n) + 0.25}
    for reduction in REDUCTIONS:
        o = dict(reduction=reduction)
        for name in ("CrossEntropyLoss", "NLLLoss"):
            case(f"{name}/rows_{reduction}", rows, **o)
            case(f"{name}/image_{reduction}", image, **o)
            case(f"{name}/weight_{reduction}", rows, draw_options=weight(5), **o)
            case(f"{name}/ignore_{reduction}", rows, ignore_index=2, **o)
            case(
                f"{name}/all_{reduction}",
                sequence,
                draw_options=weight(4),
                ignore_index=1,
                **o,
                **({"label_smoothing": 0.2} if name == "CrossEntropyLoss" else {}),
            )
        case(f"CrossEntropyLoss/smoothing_{reduction}", rows, label_smoothing=0.1, **o)
        soft = lambda d: (d.normal(4, 5), d.distribution(4, 5))
        deep = lambda d: (d.normal(2, 3, 4), d.distribution(2, 3, 4))
        case(f"CrossEntropyLoss/probabilities_{reduction}", soft, **o)
        case(f"CrossEntropyLoss/deep_probabilities_{reduction}", deep, (0, 1), **o)
        case(
            f"CrossEntropyLoss/weighted_probabilities_{reduction}",
            deep,
            draw_options=weight(3),
            label_smoothing=0.3,
            **o,
        )
    case("CrossEntropyLoss/single", single)
    case("CrossEntropyLoss/single_weight", single, draw_options=weight(5), label_smoothing=0.1)
    one = lambda d: (d.normal(5), d.distribution(5, axis=0))
    case("CrossEntropyLoss/single_probabilities", one)
    case("NLLLoss/single", single)
    huge = lambda d: (d.normal(4, 3) * 1000, d.labels(3, 4))
    case("CrossEntropyLoss/huge", huge, reduction="none")
    case("CrossEntropyLoss/huge_smoothing", huge, label_smoothing=0.5, reduction="none")
    none_left = lambda d: (d.normal(2, 3), torch.tensor([7, 7]))
    case("CrossEntropyLoss/nothing_counts", none_left, ignore_index=7)
    case("NLLLoss/nothing_counts", none_left, ignore_index=7, reduction="sum")
    outside = lambda d: (d.normal(3, 3), torch.tensor([0, -1, 2]))
    case("CrossEntropyLoss/ignore_outside", outside, ignore_index=-1)
    infinite = lambda d: (torch.tensor([[0.0, -INF], [0.5, 0.25]], dtype=F64), torch.tensor([1, 0]))
    case("NLLLoss/ignored_infinity", infinite, ignore_index=1)
    not_a_number = lambda d: (torch.tensor([[NAN, 1.0], [1.0, 2.0]], dtype=F64), torch.tensor([1, 0]))
    case("CrossEntropyLoss/nan", not_a_number, reduction="none")


def distances():
    kinks = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 1e200, INF, NAN], dtype=F64)
    for reduction in REDUCTIONS:
        pair = lambda d: (d.normal(4, 3) * 2, d.normal(4, 3))
        for name in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"):
            case(f"{name}/{reduction}", pair, (0, 1), reduction=reduction)
    for name in ("L1Loss", "SmoothL1Loss", "HuberLoss"):
        case(f"{name}/kinks", lambda d: (kinks, torch.zeros(10, dtype=F64)), reduction="none")
    case("MSELoss/scalar", lambda d: (d.normal(), d.normal()), (0, 1))
    case("SmoothL1Loss/beta", lambda d: (d.normal(9), d.normal(9)), (0, 1), beta=0.3)
    case("SmoothL1Loss/beta_0", lambda d: (d.normal(9), d.normal(9)), (0, 1), beta=0.0)
    case("HuberLoss/delta", lambda d: (d.normal(9), d.normal(9)), (0, 1), delta=0.4)


def binaries():
    weight = lambda *shape: lambda d: {"weight": d.unit(*shape) + 0.25}
    for reduction in REDUCTIONS:
        p = lambda d: (d.unit(4, 3), d.unit(4, 3))
        case(f"BCELoss/{reduction}", p, (0, 1), reduction=reduction)
        case(f"BCELoss/weight_{reduction}", p, reduction=reduction, draw_options=weight(4, 1))
        x = lambda d: (d.normal(4, 3) * 4, d.unit(4, 3))
        case(f"BCEWithLogitsLoss/{reduction}", x, (0, 1), reduction=reduction)
        both = lambda d: {"weight": d.unit(4, 3), "pos_weight": d.unit(3) * 3}
        case(f"BCEWithLogitsLoss/weights_{reduction}", x, (0, 1), both, reduction=reduction)
    ends = torch.tensor([0.0, 0.0, 1.0, 1.0, 1e-6, 1 - 1e-6, 0.5], dtype=F64)
    hard = torch.tensor([1.0, 0.5, 0.0, 0.25, 1.0, 0.0, 0.5], dtype=F64)
    case("BCELoss/ends", lambda d: (ends, hard), reduction="none")
    case("BCELoss/sure_and_right", lambda d: (ends[:4], ends[:4].round()), ())
    extremes = torch.tensor([-1000.0, -30.0, 0.0, 30.0, 1000.0, NAN], dtype=F64)
    yes, no = torch.ones(6, dtype=F64), torch.zeros(6, dtype=F64)
    case("BCEWithLogitsLoss/extremes_yes", lambda d: (extremes, yes), reduction="none")
    case("BCEWithLogitsLoss/extremes_no", lambda d: (extremes, no), reduction="none")


def divergences():
    def pair(d):
        return d.distribution(4, 5).log(), d.distribution(4, 5)

    def logs(d):
        return d.distribution(4, 5).log(), d.distribution(4, 5).log()

    for reduction in (*REDUCTIONS, "batchmean"):
        case(f"KLDivLoss/{reduction}", pair, (0, 1), reduction=reduction)
        case(f"KLDivLoss/log_{reduction}", logs, (0, 1), reduction=reduction, log_target=True)
    zeros = torch.tensor([[0.0, 0.25, 0.75]], dtype=F64)
    case("KLDivLoss/zeros", lambda d: (d.normal(1, 3), zeros), reduction="none")
    for reduction in REDUCTIONS:
        counts = lambda d: (d.normal(3, 4), d.labels(6, 3, 4).to(F64))
        rates = lambda d: (d.unit(3, 4) + 0.1, d.labels(6, 3, 4).to(F64))
        case(f"PoissonNLLLoss/{reduction}", counts, reduction=reduction)
        case(f"PoissonNLLLoss/full_{reduction}", counts, reduction=reduction, full=True)
        case(f"PoissonNLLLoss/rates_{reduction}", rates, reduction=reduction, log_input=False)
    case("PoissonNLLLoss/eps", rates, log_input=False, eps=0.5)


def margins():
    weight = lambda n: lambda d: {"weight": d.unit(n) + 0.25}
    for reduction in REDUCTIONS:
        o = dict(reduction=reduction)
        case(f"HingeEmbeddingLoss/{reduction}", lambda d: (d.normal(4, 3), d.signs(4, 3)), **o)
        scores = lambda d: (d.normal(4, 5), d.labels(5, 4))
        case(f"MultiMarginLoss/{reduction}", scores, **o)
        case(f"MultiMarginLoss/p2_{reduction}", scores, p=2, margin=0.5, **o)
        case(f"MultiMarginLoss/weight_{reduction}", scores, (0,), weight(5), **o)
        vectors = lambda d: (d.normal(6, 3), d.normal(6, 3), d.signs(6))
        case(f"CosineEmbeddingLoss/{reduction}", vectors, (0, 1), **o)
        case(f"CosineEmbeddingLoss/margin_{reduction}", vectors, (0, 1), margin=-0.3, **o)
        triplet = lambda d: (d.normal(5, 3), d.normal(5, 3), d.normal(5, 3))
        case(f"TripletMarginLoss/{reduction}", triplet, (0, 1, 2), **o)
        case(f"TripletMarginLoss/swap_{reduction}", triplet, (0, 1, 2), swap=True, margin=2.0, **o)
        case(f"TripletMarginLoss/p_{reduction}", triplet, (0, 1, 2), p=1.0, eps=1e-3, **o)
    case("TripletMarginLoss/p3", triplet, (0, 1, 2), p=3.0)
    case("HingeEmbeddingLoss/margin", lambda d: (d.normal(7), d.signs(7)), margin=0.4)
    edge = torch.tensor([1.0, 0.0, -1.0, 2.0], dtype=F64)
    minus = torch.tensor([-1, -1, -1, -1])
    case("HingeEmbeddingLoss/edge", lambda d: (edge, minus), reduction="none")
    case("MultiMarginLoss/single", lambda d: (d.normal(5), d.labels(5)))
    ties = torch.tensor([[1.0, 0.0, 1.0], [2.0, 1.0, 3.0]], dtype=F64)
    case("MultiMarginLoss/ties", lambda d: (ties, torch.tensor([0, 0])), reduction="none")
    case("CosineEmbeddingLoss/single", lambda d: (d.normal(4), d.normal(4), torch.tensor(-1)), (0, 1))


def main():
    deterministic()
    cross_entropies()
    distances()
    binaries()
    divergences()
    margins()
    emit("losses", tensors, cases, torch=torch.__version__)


if __name__ == "__main__":
    main()
