"""Golden values for convolution, pooling, sorting, scanning, interpolation and attention.

`structure.json` lists the cases; `structure.safetensors` holds the numbers of case ID, in float64, under
    ID/in0, ID/in1 …    the inputs
    ID/out              the output
    ID/w, ID/grad0 …    the gradients of sum(out * w) with respect to each of the "gradients"

A case reads {"id", "op", "inputs": how many, "attrs", "gradients": [input numbers]}. Ops bear PyTorch's
names and the attributes are its keyword arguments. Tests run them in float64 and in float32.
"""

import zlib

import torch
import torch.nn.functional as F

from golden import deterministic, emit

NAN, INF = float("nan"), float("inf")


def conv(function):
    return lambda x, w, b=None, **attrs: function(x, w, b, **attrs)


OPS = {
    "conv1d": conv(F.conv1d),
    "conv2d": conv(F.conv2d),
    "conv_transpose1d": conv(F.conv_transpose1d),
    "conv_transpose2d": conv(F.conv_transpose2d),
    "max_pool1d": F.max_pool1d,
    "max_pool2d": F.max_pool2d,
    "max_pool2d_indices": lambda x, **a: F.max_pool2d(x, return_indices=True, **a)[1],
    "avg_pool1d": F.avg_pool1d,
    "avg_pool2d": F.avg_pool2d,
    "adaptive_avg_pool1d": F.adaptive_avg_pool1d,
    "adaptive_avg_pool2d": F.adaptive_avg_pool2d,
    "cumsum": torch.cumsum,
    "sort": lambda x, **a: torch.sort(x, stable=True, **a)[0],
    "argsort": lambda x, **a: torch.argsort(x, stable=True, **a),
    "topk": lambda x, **a: torch.topk(x, **a)[0],
    "flip": torch.flip,
    "flatten": torch.flatten,
    "transpose": torch.transpose,
    "unfold": lambda x, dim, size, step: x.unfold(dim, size, step),
    "interpolate": F.interpolate,
    "scaled_dot_product_attention": F.scaled_dot_product_attention,
}

tensors, cases = {}, []


def case(op, inputs, gradients=None, label="", **attrs):
    """Records a case; inputs are shapes, for random numbers, or tensors."""
    id = f"{op}/{label or len([c for c in cases if c['op'] == op])}"
    generator = torch.Generator().manual_seed(zlib.crc32(id.encode()))
    rand = lambda shape: torch.randn(shape, generator=generator, dtype=torch.float64)
    values = [rand(x) if isinstance(x, (list, tuple)) else x.to(torch.float64) for x in inputs]
    # Exact in float32, so that both precisions see the same numbers.
    values = [x.float().double() for x in values]
    gradients = list(range(len(values))) if gradients is None else gradients
    for i in gradients:
        values[i].requires_grad_()
    out = OPS[op](*values, **attrs)
    if gradients:
        w = rand(out.shape).float().double()
        grads = torch.autograd.grad((out * w).sum(), [values[i] for i in gradients])
        tensors[f"{id}/w"] = w
        tensors.update({f"{id}/grad{i}": g for i, g in zip(gradients, grads)})
    tensors.update({f"{id}/in{i}": x for i, x in enumerate(values)})
    tensors[f"{id}/out"] = out.clone()
    cases.append(
        {"id": id, "op": op, "inputs": len(values), "attrs": attrs, "gradients": gradients}
    )


def convolutions():
    case("conv2d", [(2, 3, 6, 5), (4, 3, 3, 2), (4,)])
    case("conv2d", [(2, 3, 6, 5), (4, 3, 3, 3)], padding=1)
    case("conv2d", [(1, 2, 7, 8), (3, 2, 3, 3), (3,)], stride=2, padding=[1, 0])
    case("conv2d", [(2, 2, 7, 6), (2, 2, 2, 3), (2,)], dilation=2, padding=2)
    case("conv2d", [(2, 4, 5, 5), (6, 2, 3, 3), (6,)], groups=2, padding=1, stride=[1, 2])
    case("conv2d", [(1, 3, 5, 5), (6, 1, 3, 3)], groups=3)
    case("conv2d", [(1, 2, 5, 6), (3, 2, 4, 3), (3,)], padding="same")
    case("conv2d", [(1, 2, 5, 6), (3, 2, 2, 4)], padding="same", dilation=[2, 1])
    case("conv2d", [(2, 3, 4, 4), (5, 3, 1, 1), (5,)])
    case("conv2d", [(3, 6, 5), (4, 3, 3, 2), (4,)], label="no_batch")
    case("conv1d", [(2, 3, 9), (4, 3, 3), (4,)])
    case("conv1d", [(2, 2, 9), (3, 2, 4)], stride=2, padding=2)
    case("conv1d", [(2, 4, 9), (4, 2, 3), (4,)], dilation=2, groups=2, padding="same")
    case("conv1d", [(2, 9), (3, 2, 4)], label="no_batch")
    case("conv_transpose2d", [(2, 3, 4, 5), (3, 4, 3, 2), (4,)])
    case("conv_transpose2d", [(1, 2, 4, 3), (2, 3, 3, 3), (3,)], stride=2, padding=1, output_padding=1)
    case("conv_transpose2d", [(1, 4, 3, 3), (4, 2, 2, 3)], groups=2, stride=[1, 2], dilation=2)
    case("conv_transpose2d", [(2, 3, 3), (2, 1, 2, 2)], stride=2, label="no_batch")
    case("conv_transpose1d", [(2, 3, 5), (3, 2, 4), (2,)], stride=2, padding=1)
    case("conv_transpose1d", [(1, 2, 5), (2, 2, 3)], stride=3, output_padding=2, dilation=2)
    case("conv_transpose1d", [(2, 4, 4), (4, 1, 3), (2,)], groups=2)


def pooling():
    odd = [(2, 2, 7, 6)]
    for op in ["max_pool2d", "avg_pool2d"]:
        case(op, odd, kernel_size=2)
        case(op, odd, kernel_size=3, stride=2, padding=1)
        case(op, odd, kernel_size=[2, 3], stride=[1, 2], ceil_mode=True)
        case(op, odd, kernel_size=3, stride=2, padding=1, ceil_mode=True)
        case(op, [(2, 7, 6)], kernel_size=2, label="no_batch")
    case("max_pool2d", odd, kernel_size=2, stride=2, dilation=2)
    case("avg_pool2d", odd, kernel_size=3, stride=2, padding=1, count_include_pad=False)
    case("avg_pool2d", odd, kernel_size=3, stride=2, padding=1, count_include_pad=False, ceil_mode=True)
    ties = torch.tensor([[[[1, 1, 0, 2], [1, 0, 2, 2], [-1, -1, 3, 3], [-1, -1, 3, 3]]]])
    special = torch.tensor(
        [[[[1, NAN, INF, 2], [0, 3, 2, 1], [-INF, -INF, 3, -INF], [-INF, -INF, NAN, 3]]]]
    )
    case("max_pool2d", [ties], kernel_size=2, label="ties")
    case("max_pool2d", [ties], kernel_size=3, stride=1, padding=1, label="ties_that_overlap")
    case("max_pool2d", [special], [], kernel_size=2, label="special")
    case("max_pool2d", [special], [], kernel_size=3, stride=2, padding=1, label="special_and_padded")
    case("avg_pool2d", [special], [], kernel_size=2, label="special")
    case("max_pool2d_indices", odd, [], kernel_size=3, stride=2, padding=1)
    case("max_pool2d_indices", [ties], [], kernel_size=2, label="ties")
    case("max_pool2d_indices", odd, [], kernel_size=2, ceil_mode=True)
    for op in ["max_pool1d", "avg_pool1d"]:
        case(op, [(2, 3, 9)], kernel_size=2)
        case(op, [(2, 3, 9)], kernel_size=3, stride=2, padding=1, ceil_mode=True)
        case(op, [(3, 9)], kernel_size=4, stride=1, label="no_batch")
    for size in [1, 3, [7, 2], [5, 4], [9, 8]]:
        case("adaptive_avg_pool2d", odd, output_size=size)
    for size in [1, 3, 4, 12]:
        case("adaptive_avg_pool1d", [(2, 2, 9)], output_size=size)


def orders():
    for shape, dim in [((5,), 0), ((3, 4), 1), ((3, 4), -2), ((2, 3, 4), 1)]:
        case("cumsum", [shape], dim=dim)
        for descending in [False, True]:
            case("sort", [shape], dim=dim, descending=descending)
            case("argsort", [shape], [], dim=dim, descending=descending)
        case("flip", [shape], dims=[dim])
        case("topk", [shape], k=2, dim=dim, largest=True)
        case("topk", [shape], k=3, dim=dim, largest=False)
    case("flip", [(2, 3, 4)], dims=[0, 2])
    special = torch.tensor([3, NAN, -INF, 0.0, INF, -0.0, NAN, 3, 1])
    case("cumsum", [special], [], dim=0, label="special")
    for descending in [False, True]:
        case("sort", [special], [], dim=0, descending=descending, label=f"special_{descending}")
        case("argsort", [special], [], dim=0, descending=descending, label=f"special_{descending}")
        ties = torch.tensor([[2, 1, 2, 1, 1, 2, 0], [0, 0, 0, 0, 0, 0, 0]])
        case("argsort", [ties], [], dim=1, descending=descending, label=f"ties_{descending}")
    case("flatten", [(2, 3, 4)], start_dim=1, end_dim=-1)
    case("flatten", [(2, 3, 4)], start_dim=0, end_dim=1)
    case("flatten", [(2, 1, 2, 3)], start_dim=1, end_dim=2)
    case("transpose", [(2, 3)], dim0=0, dim1=1)
    case("transpose", [(2, 3, 4)], dim0=-1, dim1=0)
    case("transpose", [(2, 3, 4, 1)], dim0=1, dim1=2)
    inf = torch.tensor([[[1, INF, 2, 3, 4], [NAN, 1, 2, 3, 4]]])
    case("adaptive_avg_pool1d", [inf], [], output_size=3, label="special_3")
    case("adaptive_avg_pool1d", [inf], [], output_size=7, label="special_7")
    case("interpolate", [inf], [], size=[8], mode="linear", align_corners=False, label="special")
    case("sort", [torch.tensor(2.0)], dim=0, descending=False, label="number")
    case("argsort", [torch.tensor(2.0)], [], dim=0, descending=True, label="number")
    case("topk", [torch.tensor(2.0)], k=1, dim=0, largest=True, label="number")
    case("unfold", [(9,)], dim=0, size=3, step=1)
    case("unfold", [(2, 9)], dim=1, size=2, step=3)
    case("unfold", [(7, 3)], dim=-2, size=4, step=2)
    case("unfold", [(2, 8)], dim=1, size=4, step=4)


def images():
    for size in [[10, 4], [3, 6], [5, 5], [1, 1]]:
        x = [(1, 2, 5, 6)]
        case("interpolate", x, size=size, mode="nearest")
        case("interpolate", x, size=size, mode="nearest-exact")
        for align_corners in [False, True]:
            case("interpolate", x, size=size, mode="bilinear", align_corners=align_corners)
            case("interpolate", x, size=size, mode="bicubic", align_corners=align_corners)
    case("interpolate", [(2, 2, 5)], size=[8], mode="linear", align_corners=False)
    case("interpolate", [(2, 2, 5)], size=[3], mode="nearest")


def attention():
    op = "scaled_dot_product_attention"
    case(op, [(2, 5, 4), (2, 3, 4), (2, 3, 6)])
    case(op, [(2, 2, 5, 4), (2, 2, 5, 4), (2, 2, 5, 4)], is_causal=True)
    case(op, [(2, 3, 4), (2, 3, 4), (2, 3, 4)], scale=0.3, is_causal=True)
    case(op, [(2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4), (3, 5)], label="mask")
    case(op, [(2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4), (2, 1, 3, 5)], label="mask_per_batch")
    hidden = torch.zeros(3, 5)
    hidden[0, 2:] = -INF
    hidden[2, :] = -INF
    inputs = [(1, 3, 4), (1, 5, 4), (1, 5, 4), hidden]
    case(op, inputs, [0, 1, 2], label="hidden_row")


if __name__ == "__main__":
    deterministic()
    convolutions()
    pooling()
    orders()
    images()
    attention()
    emit("structure", tensors, cases)
