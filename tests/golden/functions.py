"""Golden values for the functions of `torch`: element-wise functions, reductions, structure.

`functions.json` lists the cases; `functions.safetensors` holds the numbers of case ID under
    ID/in0, ID/in1 …      the inputs
    ID/out0, ID/out1 …    the outputs, whose dtypes are part of the expectation
    ID/w0 …, ID/grad0 …   where the case lists "gradients": those inputs' gradients of Σ sum(out * w),
                          over the outputs that are floats and have a gradient

A case reads {"id", "torch", "inputs": how many, "outputs": how many, "attrs", "gradients"}. "torch" is
PyTorch's name; the header's "gradus" says what Gradus calls it where the name differs. Three flags are
optional:
    "error": true      PyTorch refuses these inputs, and so must Gradus
    "each": true       compare each element by itself, not by the largest: inputs are of all sizes
    "list": true       the inputs are one argument, a list
"""

import zlib

import torch
import torch.nn.functional as F

from golden import deterministic, emit

NAN, INF = float("nan"), float("inf")
BOOL, U8, I32, I64 = torch.bool, torch.uint8, torch.int32, torch.int64
F16, F32, F64 = torch.float16, torch.float32, torch.float64

# What Gradus calls a function, where it is not a method of the same name.
GRADUS = {
    "add": "+",
    "arange": "Tensor::arange, Tensor::arange_step",
    "div": "/, Tensor::div_rounded",
    "linalg.vector_norm": "Tensor::norm",
    "mul": "*",
    "nn.functional.one_hot": "Tensor::one_hot",
    "nn.functional.cosine_similarity": "Tensor::cosine_similarity",
    "round": "Tensor::round, Tensor::round_decimals",
    "split": "Tensor::split, Tensor::split_sizes",
    "sub": "-",
    "squeeze": "Tensor::squeeze, Tensor::squeeze_all, Tensor::squeeze_axes",
    "where": "Tensor::where_",
}

tensors, cases = {}, []


class Draw:
    """Numbers that depend on the case's name alone, so that a new case disturbs no other."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(zlib.crc32(seed.encode()))

    def normal(self, *shape, dtype=F64):
        return torch.randn(shape, generator=self.generator, dtype=F64).to(dtype)

    def between(self, low, high, *shape, dtype=F64):
        x = torch.rand(shape, generator=self.generator, dtype=F64)
        return (x * (high - low) + low).to(dtype)

    def integers(self, low, high, *shape, dtype=I64):
        return torch.randint(low, high, shape, generator=self.generator).to(dtype)


def normal(*shape, dtype=F64):
    return lambda draw: draw.normal(*shape, dtype=dtype)


def between(low, high, *shape, dtype=F64):
    return lambda draw: draw.between(low, high, *shape, dtype=dtype)


def integers(low, high, *shape, dtype=I64):
    return lambda draw: draw.integers(low, high, *shape, dtype=dtype)


def of(dtype, *values):
    return torch.tensor(values, dtype=dtype)


def function(name):
    found = torch
    for part in name.split("."):
        found = getattr(found, part)
    return found


def case(id, function, *inputs, grad=True, error=False, each=False, list=False, name=None, **attrs):
    """Records one case of `function(*inputs, **attrs)`. An input is a tensor or a function of a `Draw`."""
    draw = Draw(id)
    inputs = [x(draw) if callable(x) else x for x in inputs]
    name = name or id.split("/")[0]
    shown = {key: str(value) if value in (INF, -INF) else value for key, value in attrs.items()}
    record = {"id": id, "torch": name, "inputs": len(inputs), "outputs": 0, "attrs": shown}
    record["gradients"] = []
    if each:
        record["each"] = True
    if list:
        record["list"] = True
    assert all(c["id"] != id for c in cases), f"two cases are named {id}"

    def call(leaves):
        return function(leaves, **attrs) if list else function(*leaves, **attrs)

    if error:
        record["error"] = True
        try:
            call(inputs)
        except (RuntimeError, IndexError, TypeError, ValueError):
            tensors.update({f"{id}/in{i}": x.clone() for i, x in enumerate(inputs)})
            cases.append(record)
            return
        raise AssertionError(f"{id}: PyTorch accepts it")
    tensors.update({f"{id}/in{i}": x.clone() for i, x in enumerate(inputs)})
    cases.append(record)
    grad = grad and name != "floor_divide"  # which has no derivative
    leaves = [x.requires_grad_() if grad and x.is_floating_point() else x for x in inputs]
    outputs = call(leaves)
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else [*outputs]
    record["outputs"] = len(outputs)
    total = None
    for i, output in enumerate(outputs):
        tensors[f"{id}/out{i}"] = output.detach().clone()
        if output.requires_grad:
            tensors[f"{id}/w{i}"] = w = draw.normal(*output.shape, dtype=output.dtype)
            part = (output * w).sum()
            total = part if total is None else total + part
    if total is not None:
        total.backward()
        record["gradients"] = [i for i, x in enumerate(leaves) if x.grad is not None]
        tensors.update({f"{id}/grad{i}": leaves[i].grad for i in record["gradients"]})


# --- element by element ---------------------------------------------------------------------------

# Where each is smooth.
UNARY = {
    "abs": (-2, 2),
    "acos": (-1, 1),
    "acosh": (1.1, 4),
    "asin": (-1, 1),
    "asinh": (-3, 3),
    "atan": (-3, 3),
    "atanh": (-0.95, 0.95),
    "ceil": (-3, 3),
    "cos": (-7, 7),
    "cosh": (-3, 3),
    "deg2rad": (-200, 200),
    "digamma": (0.2, 12),
    "erf": (-2, 2),
    "erfc": (-3, 3),
    "erfinv": (-0.99, 0.99),
    "exp": (-3, 3),
    "exp2": (-3, 3),
    "expm1": (-2, 2),
    "floor": (-3, 3),
    "frac": (-3, 3),
    "lgamma": (0.2, 12),
    "log": (0.1, 9),
    "log10": (0.1, 9),
    "log1p": (-0.9, 4),
    "log2": (0.1, 9),
    "logit": (0.05, 0.95),
    "neg": (-2, 2),
    "rad2deg": (-4, 4),
    "reciprocal": (0.2, 4),
    "round": (-3, 3),
    "rsqrt": (0.2, 4),
    "sigmoid": (-4, 4),
    "sign": (-1, 1),
    "sin": (-7, 7),
    "sinc": (-3, 3),
    "sinh": (-3, 3),
    "sqrt": (0.2, 4),
    "square": (-2, 2),
    "tan": (-1.2, 1.2),
    "tanh": (-3, 3),
    "trunc": (-3, 3),
}
QUESTIONS = ["isfinite", "isinf", "isnan", "isneginf", "isposinf", "logical_not", "signbit"]

ALL_SIZES = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.0, -2.5, 3.0, 10.25, -30.5]
SMALL_AND_LARGE = {
    F64: [1e-300, -1e-300, 1e-20, 1e-9, -1e-9, 1e-5, 50.0, 700.5, -720.0, 1e9, 1e17, -1e17, 1e300, -1e300],
    F32: [1e-38, -1e-38, 1e-20, 1e-9, -1e-9, 1e-5, 50.0, 88.875, -80.0, 1e5, 1e9, -1e9, 3e38, -3e38],
}


def special(dtype):
    return torch.tensor(ALL_SIZES + SMALL_AND_LARGE[dtype], dtype=dtype)


def unary():
    for name, (low, high) in UNARY.items():
        f = function(name)
        case(f"{name}/matrix", f, between(low, high, 2, 5))
        case(f"{name}/number", f, between(low, high))
        case(f"{name}/float32", f, between(low, high, 11, dtype=F32))
        case(f"{name}/special", f, special(F64), grad=False, each=True)
        case(f"{name}/special_float32", f, special(F32), grad=False, each=True)
        if name not in ("frac", "logit"):
            positive = name in ("lgamma", "digamma", "log", "log10", "log2", "rsqrt", "acosh", "reciprocal")
            ints = of(I64, 1, 2, 5, 9) if positive else of(I64, 0, 1, -2, 5)
            if name in ("acos", "asin", "erfinv", "atanh"):
                ints = of(I64, 0, 1, -1)
            case(f"{name}/int64", f, ints)
        if name in ("exp", "erfc", "asin", "lgamma", "atan", "trunc", "sinh"):
            case(f"{name}/float16", f, between(low, high, 6, dtype=F16), grad=False)
    for name in QUESTIONS:
        f = function(name)
        case(f"{name}/special", f, special(F64))
        case(f"{name}/special_float32", f, special(F32))
        case(f"{name}/int64", f, of(I64, 0, 1, -3))
    case("bitwise_not/int32", torch.bitwise_not, of(I32, 0, 1, -7, 2**31 - 1))
    case("bitwise_not/uint8", torch.bitwise_not, of(U8, 0, 1, 200))
    case("bitwise_not/bool", torch.bitwise_not, of(BOOL, True, False))
    # Negative arguments between the poles, and gradients at kinks and ends.
    for name in ("lgamma", "digamma"):
        case(f"{name}/negative", function(name), of(F64, -0.5, -1.25, -2.75, -10.5, -0.01))
        case(f"{name}/negative_float32", function(name), of(F32, -0.5, -1.25, -2.75, -10.5))
    for name, points in {
        "abs": (-1.0, 0.0, -0.0, 2.0),
        "acos": (-1.0, 0.0, 1.0),
        "asin": (-1.0, 0.0, 1.0),
        "acosh": (1.0, 2.0),
        "asinh": (0.0, -0.0, 1e150, -1e-200),
        "atanh": (0.0, 1.0, -1.0),
        "sqrt": (0.0, 4.0),
        "sinc": (0.0, 1e-3, 1.0),
        "sinh": (0.0, 1.0, -1.0, 0.999999),
        "cosh": (0.0, 20.0),
        "atan": (0.0, INF, -INF, 1e200),
        "erfinv": (0.0, 0.9999999),
    }.items():
        case(f"{name}/gradient_at_edges", function(name), torch.tensor(points, dtype=F64), each=True)
    case("round/decimals", torch.round, between(-9, 9, 7), decimals=2)
    case("round/tens", torch.round, of(F64, 15.0, 25.0, -149.0, 3.0), decimals=-1)
    case("round/halves", torch.round, of(F64, 0.5, 1.5, 2.5, -0.5, -3.5))
    case("logit/bounded", torch.logit, of(F64, -1.0, 0.0, 0.05, 0.5, 0.95, 1.0, 2.0), eps=0.1)
    case("nan_to_num/default", torch.nan_to_num, of(F64, NAN, INF, -INF, 1.5))
    case("nan_to_num/float32", torch.nan_to_num, of(F32, NAN, INF, -INF, 1.5))
    case("nan_to_num/chosen", torch.nan_to_num, of(F64, NAN, INF, -INF, 2.0), nan=3.0, posinf=9.0, neginf=-8.0)
    case("nan_to_num/int64", torch.nan_to_num, of(I64, 1, 2))


# Where each is smooth, for both operands; whether integers stay integers.
BINARY = {
    "atan2": (-2, 2),
    "copysign": (-2, 2),
    "floor_divide": (0.3, 4),
    "fmax": (-2, 2),
    "fmin": (-2, 2),
    "fmod": (0.3, 4),
    "hypot": (-2, 2),
    "logaddexp": (-3, 3),
    "logaddexp2": (-3, 3),
    "maximum": (-2, 2),
    "minimum": (-2, 2),
    "pow": (0.2, 3),
    "remainder": (0.3, 4),
    "xlogy": (0.2, 3),
}
PAIRS = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.25, 2.5, -2.5, 0.125, -7.0]


def grid(dtype):
    tiny, huge = (1e-300, 1e300) if dtype == F64 else (1e-38, 1e38)
    values = torch.tensor([*PAIRS, tiny, -huge, huge], dtype=dtype)
    return values.unsqueeze(1), values


def binary():
    for name, (low, high) in BINARY.items():
        f = function(name)
        case(f"{name}/same", f, between(low, high, 2, 4), between(low, high, 2, 4))
        case(f"{name}/broadcast", f, between(low, high, 3, 1), between(low, high, 2, 1, 4))
        case(f"{name}/float32", f, between(low, high, 9, dtype=F32), between(low, high, 9, dtype=F32))
        case(f"{name}/special", f, *grid(F64), grad=False, each=True)
        case(f"{name}/special_float32", f, *grid(F32), grad=False, each=True)
        case(f"{name}/promotes", f, of(I64, 3, 1, 2), of(F32, 1.5, 2.0, 4.5))
        if name not in ("logaddexp", "logaddexp2", "hypot"):
            case(f"{name}/int64", f, of(I64, 7, -7, 7, -7, 0), of(I64, 2, 2, 3, 3, 5))
        if name in ("maximum", "minimum", "fmax", "fmin", "floor_divide", "fmod", "remainder"):
            case(f"{name}/uint8", f, of(U8, 200, 7, 9), of(U8, 3, 9, 9))
            case(f"{name}/int32", f, of(I32, 200, -7, 9), of(I32, -3, 9, 9))
    # Quotients of all sizes; signs of all kinds.
    for name in ("fmod", "remainder", "floor_divide"):
        f = function(name)
        signs = of(F64, 5.3, -5.3, 5.3, -5.3, 6.0, -6.0), of(F64, 2.0, 2.0, -2.0, -2.0, 3.0, 3.0)
        case(f"{name}/signs", f, *signs)
        case(f"{name}/large", f, of(F64, 1e17, 1e300, -1e10), of(F64, 3.0, 7.7, 0.3), grad=False, each=True)
        case(f"{name}/large_float32", f, of(F32, 1e10, 1e38, -1e5), of(F32, 3.0, 7.7, 0.3), grad=False, each=True)
        case(f"{name}/scalar", f, of(F64, 5.5, -5.5, 0.25), other=2.0)
        case(f"{name}/int_scalar", f, of(I64, 5, -5, 9), other=-3)
        case(f"{name}/zero", f, of(I64, 5, -5), of(I64, 1, 0), error=True)
        case(f"{name}/exact_int64", f, of(I64, 2**60 + 1, -(2**60) - 3), of(I64, 7, 10))
    for mode in ("trunc", "floor"):
        case(f"div/{mode}", torch.div, of(F64, 5.3, -5.3, 7.0), of(F64, 2.0, 2.0, -2.0), rounding_mode=mode)
        case(f"div/{mode}_int64", torch.div, of(I64, 5, -5, 7), of(I64, 2, 2, -2), rounding_mode=mode)
        case(f"div/{mode}_special", torch.div, *grid(F64), grad=False, each=True, rounding_mode=mode)
        case(f"div/{mode}_float32", torch.div, *grid(F32), grad=False, each=True, rounding_mode=mode)
        case(f"div/{mode}_zero", torch.div, of(I64, 5), of(I64, 0), error=True, rounding_mode=mode)
    ties = of(F64, 1.0, 2.0, -1.0), of(F64, 1.0, 1.0, -1.0)
    for name in ("fmax", "fmin", "maximum", "minimum", "logaddexp"):
        case(f"{name}/ties", function(name), *[x.clone() for x in ties])
    case("hypot/huge", torch.hypot, of(F32, 3e38, 1e-30), of(F32, 1e38, 1e-30), grad=False, each=True)
    case("copysign/zero", torch.copysign, of(F64, 0.0, -0.0, 3.0), of(F64, -1.0, 1.0, -0.0))
    case("xlogy/zero", torch.xlogy, of(F64, 0.0, 0.0, 2.0), of(F64, 1.5, 3.0, 0.5))
    case("atan2/origin", torch.atan2, of(F64, 0.0, 0.0, 1.0), of(F64, 0.0, 1.0, 0.0))

    x, values = of(F64, -1.0, 0.0, -0.0, 2.0, NAN), of(F64, 0.5, 0.25, -2.0, 3.0, 4.0)
    case("heaviside/float64", torch.heaviside, x, values, grad=False)
    case("heaviside/broadcast", torch.heaviside, of(F32, [0.0], [3.0]), of(F32, 0.5, -1.0), grad=False)
    case("heaviside/int64", torch.heaviside, of(I64, 0, -2, 5), of(I64, 7, 7, 7))
    for name in ("logical_and", "logical_or", "logical_xor"):
        f = function(name)
        case(f"{name}/bool", f, of(BOOL, True, True, False, False), of(BOOL, True, False, True, False))
        case(f"{name}/float64", f, of(F64, [0.0], [NAN], [2.0]), of(F64, -0.0, 1.0), grad=False)
        case(f"{name}/mixed", f, of(I64, 0, 3, 0), of(F32, 0.0, 0.0, 1.5), grad=False)
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        f = function(name)
        case(f"{name}/int64", f, of(I64, [12], [-7]), of(I64, 10, -1, 255))
        case(f"{name}/uint8", f, of(U8, 12, 200), of(U8, 10, 77))
        case(f"{name}/bool", f, of(BOOL, True, True, False), of(BOOL, True, False, False))
    for name in ("bitwise_left_shift", "bitwise_right_shift"):
        f = function(name)
        for dtype in (U8, I32, I64):
            a = of(dtype, 1, 5, 100, 3) if dtype == U8 else of(dtype, 1, -5, 100, -1)
            case(f"{name}/{str(dtype)[6:]}", f, a, of(dtype, 0, 2, 3, 7))
        case(f"{name}/scalar", f, of(I64, 1, -5, 100), other=3)
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        f = function(name)
        case(f"{name}/special", f, *grid(F64), grad=False)
        case(f"{name}/int64", f, of(I64, [1], [2]), of(I64, 1, 2, 3))
        case(f"{name}/mixed", f, of(I64, 1, 2, 3), of(F32, 1.5, 2.0, 2.5), grad=False)
    a, b = of(F64, 1.0, 1.0, INF, NAN, INF, 0.0), of(F64, 1.0 + 1e-6, 1.1, INF, NAN, -INF, 1e-9)
    case("isclose/default", torch.isclose, a, b, grad=False)
    case("isclose/nan", torch.isclose, a, b, grad=False, equal_nan=True)
    case("isclose/wide", torch.isclose, a, b, grad=False, rtol=0.2, atol=0.5)
    case("isclose/int64", torch.isclose, of(I64, 1, 2, 1000000), of(I64, 1, 3, 1000001))


def ternary():
    case("lerp/tensor", torch.lerp, normal(2, 3), normal(2, 3), between(-0.5, 1.5, 2, 3))
    case("lerp/broadcast", torch.lerp, normal(4, 1), normal(3), normal(4, 3))
    case("lerp/number", torch.lerp, normal(4), normal(4), weight=0.25)
    case("lerp/far", torch.lerp, normal(4, dtype=F32), normal(4, dtype=F32), weight=0.75)
    for name in ("addcmul", "addcdiv"):
        f = function(name)
        case(f"{name}/same", f, normal(2, 3), normal(2, 3), between(0.5, 2, 2, 3), value=0.5)
        case(f"{name}/broadcast", f, normal(2, 3), normal(2, 1), between(0.5, 2, 3), value=-2.0)
        case(f"{name}/float32", f, normal(5, dtype=F32), normal(5, dtype=F32), between(0.5, 2, 5, dtype=F32))
    values = (-3.0, -1.0, -0.5, 0.0, 1.0, 2.0)
    for name in ("clamp", "clip"):
        f = function(name)
        case(f"{name}/both", f, of(F64, *values), min=-1.0, max=1.0)
        case(f"{name}/below", f, of(F64, *values), min=-1.0)
        case(f"{name}/above", f, of(F32, *values), max=0.25)
        case(f"{name}/crossed", f, of(F64, *values), min=1.0, max=-0.25)
        case(f"{name}/nan", f, of(F64, NAN, INF, -INF, 0.5), min=-1.0, max=1.0, grad=False)
        case(f"{name}/int64", f, of(I64, -5, 0, 5), min=-2, max=3)
        case(f"{name}/int_by_float", f, of(I64, -5, 0, 5), min=-1.5, max=1.5)
    case("clamp/tensors", torch.clamp, of(F64, *values), between(-2, 0, 6), between(0, 2, 6))
    case("clamp/broadcast", torch.clamp, normal(3, 4), normal(4) , between(1, 2, 3, 1))
    nans = of(F64, 1.0, NAN, 0.0), of(F64, NAN, 0.0, -1.0), of(F64, 2.0, 1.0, NAN)
    case("clamp/nan_bounds", torch.clamp, *nans, grad=False)
    case("clamp_min/number", torch.clamp_min, of(F64, *values), min=-0.5)
    case("clamp_max/number", torch.clamp_max, of(F64, *values), max=0.0)
    case("clamp_min/tensor", torch.clamp_min, normal(5), normal(5))
    case("clamp_max/tensor", torch.clamp_max, normal(5), normal(5))
    case("clamp_min/int64", torch.clamp_min, of(I64, -2, 4), min=0)
    case("clamp_max/int64", torch.clamp_max, of(I64, -2, 4), max=0)
    case("where/same", torch.where, integers(0, 2, 2, 3, dtype=BOOL), normal(2, 3), normal(2, 3))
    case("where/broadcast", torch.where, integers(0, 2, 4, 1, dtype=BOOL), normal(3), normal(2, 1, 3))
    case("where/promotes", torch.where, of(BOOL, True, False), of(I64, 1, 2), normal(2, dtype=F32))


# --- reductions -----------------------------------------------------------------------------------


def reductions():
    for name in ("any", "all"):
        f = function(name)
        case(f"{name}/every", f, of(BOOL, [True, False], [True, True]))
        case(f"{name}/axis", f, of(BOOL, [True, False], [True, True]), dim=1)
        case(f"{name}/kept", f, of(I64, [0, 3], [0, 0], [1, 2]), dim=-1, keepdim=True)
        case(f"{name}/nan", f, of(F64, [0.0, NAN], [0.0, -0.0]), dim=1, grad=False)
        case(f"{name}/empty", f, torch.zeros(2, 0, dtype=BOOL), dim=1)
    case("count_nonzero/every", torch.count_nonzero, of(F64, [0.0, NAN], [2.0, -0.0]), grad=False)
    case("count_nonzero/axis", torch.count_nonzero, of(I64, [0, 3], [0, 0], [1, 2]), dim=0)
    case("count_nonzero/axes", torch.count_nonzero, integers(0, 2, 2, 3, 2), dim=[0, 2])

    case("prod/every", torch.prod, normal(2, 3))
    case("prod/axis", torch.prod, normal(3, 7), dim=1)
    case("prod/first", torch.prod, normal(5, 2), dim=0, keepdim=True)
    case("prod/one_zero", torch.prod, of(F64, [1.5, 0.0, -2.0], [3.0, 1.0, 0.5]), dim=1)
    case("prod/two_zeros", torch.prod, of(F64, [1.5, 0.0, 0.0, 2.0], [0.0, 1.0, 0.5, 3.0]), dim=1)
    case("prod/float32", torch.prod, normal(3, 13, dtype=F32), dim=1)
    case("prod/int32", torch.prod, of(I32, [1, 2, 3], [100000, 100000, 2]), dim=1)
    case("prod/bool", torch.prod, of(BOOL, True, True, False))
    case("prod/empty", torch.prod, torch.zeros(2, 0, dtype=F64), dim=1)

    for name in ("var", "std"):
        f = function(name)
        case(f"{name}/every", f, normal(3, 4), correction=1)
        case(f"{name}/axis", f, normal(3, 4), dim=[1], correction=1)
        case(f"{name}/axes", f, normal(2, 3, 4), dim=[0, -1], correction=0, keepdim=True)
        case(f"{name}/corrected", f, normal(2, 5), dim=[1], correction=2)
        case(f"{name}/float32", f, normal(3, 9, dtype=F32), dim=[1], correction=1)
        case(f"{name}/one", f, normal(3, 1), dim=[1], correction=1, grad=False)
        case(f"{name}/constant", f, torch.full((2, 3), 1.5, dtype=F64), dim=[1], correction=1)
        case(f"{name}_mean/axis", function(f"{name}_mean"), normal(3, 4), dim=[1], correction=1)
        case(f"{name}_mean/kept", function(f"{name}_mean"), normal(3, 4), dim=[0], correction=0, keepdim=True)
        case(f"{name}_mean/float32", function(f"{name}_mean"), normal(6, dtype=F32), dim=[0], correction=1)
    case("cov/rows", torch.cov, normal(3, 5))
    case("cov/vector", torch.cov, normal(5))
    case("cov/uncorrected", torch.cov, normal(2, 4), correction=0)
    case("corrcoef/rows", torch.corrcoef, normal(3, 5))
    case("corrcoef/two", torch.corrcoef, normal(2, 9, dtype=F32))
    case("corrcoef/vector", torch.corrcoef, normal(5), grad=False)

    vector_norm = torch.linalg.vector_norm
    zeros = of(F64, [0.0, 0.0, 0.0], [0.0, -2.0, 1.0])
    for p in (0, 1, 2, 3, 1.5, 0.5, INF, -INF):
        case(f"linalg.vector_norm/{p}", vector_norm, normal(3, 4), ord=p, dim=[1])
        case(f"linalg.vector_norm/{p}_every", vector_norm, normal(2, 3), ord=p)
        case(f"linalg.vector_norm/{p}_zeros", vector_norm, zeros.clone(), ord=p, dim=[1])
    case("linalg.vector_norm/negative", vector_norm, between(0.5, 2, 2, 3), ord=-2, dim=[1])
    case("linalg.vector_norm/kept", vector_norm, normal(2, 3, 4), ord=2, dim=[0, 2], keepdim=True)
    case("linalg.vector_norm/float32", vector_norm, normal(3, 9, dtype=F32), ord=2, dim=[1])
    case("logsumexp/axis", torch.logsumexp, normal(3, 4), dim=[1])
    case("logsumexp/axes", torch.logsumexp, normal(2, 3, 4), dim=[0, 2], keepdim=True)
    case("logsumexp/large", torch.logsumexp, of(F32, [1000.0, 1001.0], [-1000.0, -1000.0]), dim=[1])
    case("logsumexp/special", torch.logsumexp, of(F64, [INF, 0.0], [-INF, -INF], [-INF, 1.0], [NAN, 0.0]), dim=[1], grad=False)

    for name in ("max", "min"):
        f = function(name)
        case(f"{name}/axis", f, normal(3, 5), dim=1)
        case(f"{name}/kept", f, normal(2, 3, 4), dim=-2, keepdim=True)
        case(f"{name}/ties", f, of(F64, [1.0, 3.0, 3.0], [1.0, 1.0, 2.0]), dim=1)
        case(f"{name}/nan", f, of(F64, [1.0, NAN, 3.0], [-INF, 2.0, INF]), dim=1, grad=False)
        case(f"{name}/int64", f, of(I64, [3, -(2**63), 5], [2**63 - 1, 0, 1]), dim=1)
        case(f"{name}/uint8", f, of(U8, [3, 0, 255], [7, 7, 9]), dim=1)
        case(f"{name}/bool", f, of(BOOL, [False, True], [True, True]), dim=1)
    case("argmin/axis", torch.argmin, normal(3, 5), dim=1, grad=False)
    case("argmin/nan", torch.argmin, of(F64, [1.0, NAN, -3.0], [INF, 2.0, INF]), dim=1, grad=False)
    case("argmin/int64", torch.argmin, of(I64, [3, -(2**63), 5], [4, 0, 0]), dim=1)
    case("aminmax/axis", torch.aminmax, normal(3, 5), dim=1)
    case("aminmax/kept", torch.aminmax, normal(3, 5), dim=0, keepdim=True)
    case("aminmax/every", torch.aminmax, normal(3, 5, dtype=F32))
    for name in ("amax", "amin"):
        f = function(name)
        case(f"{name}/axes", f, normal(2, 3, 4), dim=[0, 2])
        case(f"{name}/ties", f, of(F64, [1.0, 3.0, 3.0], [1.0, 1.0, 2.0]), dim=[1])
        case(f"{name}/int64", f, of(I64, [3, -(2**63)], [2**63 - 1, 0]), dim=[1])

    case("cdist/two", torch.cdist, normal(3, 4), normal(2, 4), p=2.0)
    case("cdist/one", torch.cdist, normal(2, 3, 4), normal(2, 2, 4), p=1.0)
    case("cdist/same", torch.cdist, of(F64, [1.0, 2.0], [0.0, 1.0]), of(F64, [1.0, 2.0], [5.0, 1.0]), p=2.0)
    case("cdist/maximum", torch.cdist, normal(3, 4), normal(2, 4), p=INF)
    cosine = F.cosine_similarity
    prefix = "nn.functional.cosine_similarity"
    case(f"{prefix}/rows", cosine, normal(3, 4), normal(3, 4), dim=1)
    case(f"{prefix}/broadcast", cosine, normal(3, 1, 4), normal(2, 4), dim=-1)
    case(f"{prefix}/zero", cosine, of(F64, [0.0, 0.0], [1.0, 2.0]), normal(2, 2), dim=1, grad=False)
    case(f"{prefix}/float32", cosine, normal(5, dtype=F32), normal(5, dtype=F32), dim=0)


# --- structure ------------------------------------------------------------------------------------


def structure():
    for name in ("stack", "cat"):
        f = function(name)
        case(f"{name}/first", f, normal(2, 3), normal(2, 3), dim=0, list=True)
        case(f"{name}/last", f, normal(2, 3), normal(2, 3), normal(2, 3), dim=-1, list=True)
        case(f"{name}/promotes", f, of(I64, 1, 2), of(F32, 0.5, 1.5), dim=0, list=True)
    for name in ("hstack", "vstack", "dstack"):
        f = function(name)
        case(f"{name}/vectors", f, normal(3), normal(3), list=True)
        case(f"{name}/matrices", f, normal(2, 3), normal(2, 3), list=True)
        case(f"{name}/numbers", f, normal(), normal(), list=True)
    case("meshgrid/two", lambda a, b: torch.meshgrid(a, b, indexing="ij"), normal(2), normal(3))
    case("meshgrid/three", lambda *a: torch.meshgrid(*a, indexing="ij"), normal(2), normal(1), normal(2))
    case("meshgrid/one", lambda a: torch.meshgrid(a, indexing="ij"), normal(2))

    x = normal(7, 2)
    case("split/size", torch.split, x, split_size_or_sections=3)
    case("split/exact", torch.split, normal(2, 4), split_size_or_sections=2, dim=1)
    case("split/sizes", torch.split, x, split_size_or_sections=[1, 4, 2])
    case("split/wrong", torch.split, x, split_size_or_sections=[1, 4], error=True)
    case("chunk/three", torch.chunk, x, chunks=3)
    case("chunk/many", torch.chunk, normal(2, 5), chunks=4, dim=-1)
    case("chunk/one", torch.chunk, x, chunks=1)
    case("tensor_split/three", torch.tensor_split, x, sections=3)
    case("tensor_split/even", torch.tensor_split, normal(2, 4), sections=2, dim=1)
    case("tensor_split/many", torch.tensor_split, normal(2), sections=3)
    case("unbind/first", torch.unbind, normal(3, 2))
    case("unbind/last", torch.unbind, normal(3, 2), dim=-1)
    case("unbind/int64", torch.unbind, of(I64, 1, 2, 3))

    case("roll/axis", torch.roll, normal(3, 4), shifts=1, dims=1)
    case("roll/axes", torch.roll, normal(3, 4), shifts=[-1, 6], dims=[0, 1])
    case("roll/flat", torch.roll, normal(3, 4), shifts=2)
    case("roll/none", torch.roll, normal(3, 4), shifts=4, dims=1)
    repeat = lambda a, repeats: a.repeat(*repeats)
    case("Tensor.repeat/same", repeat, normal(2, 3), repeats=[2, 1])
    case("Tensor.repeat/more", repeat, normal(3), repeats=[2, 1, 2])
    case("Tensor.repeat/none", repeat, normal(2, 3), repeats=[0, 2])
    case("Tensor.repeat/few", repeat, normal(2, 3), repeats=[2], error=True)
    case("tile/few", torch.tile, normal(2, 3), dims=[2])
    case("tile/same", torch.tile, normal(2, 3), dims=[2, 2])
    case("tile/more", torch.tile, normal(2), dims=[2, 1, 3])
    case("repeat_interleave/first", torch.repeat_interleave, normal(2, 3), repeats=2, dim=0)
    case("repeat_interleave/last", torch.repeat_interleave, normal(2, 3), repeats=3, dim=-1)
    case("repeat_interleave/int64", torch.repeat_interleave, of(I64, 1, 2), repeats=2, dim=0)
    case("movedim/one", torch.movedim, normal(2, 3, 4), source=[0], destination=[2])
    case("movedim/two", torch.movedim, normal(2, 3, 4), source=[-1, 0], destination=[0, 1])
    case("movedim/four", torch.movedim, normal(2, 3, 4, 1), source=[1, 3], destination=[3, 0])
    case("movedim/twice", torch.movedim, normal(2, 3), source=[0, 0], destination=[0, 1], error=True)
    case("swapaxes/first_last", torch.swapaxes, normal(2, 3, 4), axis0=0, axis1=-1)
    case("swapaxes/matrix", torch.swapaxes, normal(2, 3), axis0=0, axis1=1)
    case("swapaxes/same", torch.swapaxes, normal(2, 3), axis0=1, axis1=1)
    case("squeeze/every", torch.squeeze, normal(1, 3, 1, 2))
    case("squeeze/axes", torch.squeeze, normal(1, 3, 1, 2), dim=[0, 1])
    case("squeeze/axis", torch.squeeze, normal(1, 3, 1, 2), dim=[-2])
    case("unsqueeze/first", torch.unsqueeze, normal(2), dim=0)
    case("unsqueeze/last", torch.unsqueeze, normal(2), dim=-1)
    case("unsqueeze/middle", torch.unsqueeze, normal(2, 3), dim=1)
    case("unflatten/both", torch.unflatten, normal(6, 2), dim=0, sizes=[2, 3])
    case("unflatten/free", torch.unflatten, normal(2, 6), dim=-1, sizes=[3, -1])
    case("unflatten/wrong", torch.unflatten, normal(2, 6), dim=1, sizes=[4, 2], error=True)
    case("broadcast_to/rows", torch.broadcast_to, normal(3), size=[2, 3])
    case("broadcast_to/columns", torch.broadcast_to, normal(2, 1), size=[2, 3])
    case("broadcast_to/number", torch.broadcast_to, normal(), size=[2, 2])

    for name in ("tril", "triu"):
        f = function(name)
        case(f"{name}/main", f, normal(3, 4))
        case(f"{name}/above", f, normal(4, 3), diagonal=1)
        case(f"{name}/below", f, normal(2, 3, 3), diagonal=-1)
        case(f"{name}/nan", f, of(F64, [1.0, NAN], [INF, NAN]), grad=False)
        case(f"{name}/int64", f, of(I64, [1, 2, 3], [4, 5, 6]))
    case("diagonal/main", torch.diagonal, normal(3, 4))
    case("diagonal/above", torch.diagonal, normal(3, 4), offset=2)
    case("diagonal/below", torch.diagonal, normal(4, 3), offset=-1)
    case("diagonal/batch", torch.diagonal, normal(2, 3, 4), offset=1, dim1=0, dim2=2)
    case("diagonal/outside", torch.diagonal, normal(2, 3), offset=5)
    case("diag/vector", torch.diag, normal(3))
    case("diag/above", torch.diag, normal(2), diagonal=1)
    case("diag/below", torch.diag, of(F64, INF, 2.0), diagonal=-2, grad=False)
    case("diag/matrix", torch.diag, normal(3, 4), diagonal=1)
    case("trace/square", torch.trace, normal(3, 3))
    case("trace/wide", torch.trace, normal(2, 4))
    case("trace/float32", torch.trace, normal(4, 2, dtype=F32))

    case("outer/vectors", torch.outer, normal(3), normal(2))
    case("outer/float32", torch.outer, normal(1, dtype=F32), normal(4, dtype=F32))
    case("outer/matrix", torch.outer, normal(2, 2), normal(2), error=True)
    case("dot/vectors", torch.dot, normal(5), normal(5))
    case("dot/float32", torch.dot, normal(33, dtype=F32), normal(33, dtype=F32))
    case("dot/lengths", torch.dot, normal(5), normal(4), error=True)
    case("mv/matrix", torch.mv, normal(3, 4), normal(4))
    case("mv/float32", torch.mv, normal(2, 9, dtype=F32), normal(9, dtype=F32))
    case("mv/lengths", torch.mv, normal(3, 4), normal(3), error=True)
    case("mm/matrices", torch.mm, normal(3, 4), normal(4, 2))
    case("mm/float32", torch.mm, normal(3, 4, dtype=F32), normal(4, 2, dtype=F32))
    case("mm/batch", torch.mm, normal(2, 3, 4), normal(4, 2), error=True)
    case("bmm/batch", torch.bmm, normal(2, 3, 4), normal(2, 4, 2))
    case("bmm/one", torch.bmm, normal(1, 2, 3, dtype=F32), normal(1, 3, 1, dtype=F32))
    case("bmm/batches", torch.bmm, normal(2, 3, 4), normal(1, 4, 2), error=True)
    case("addmm/plain", torch.addmm, normal(3, 2), normal(3, 4), normal(4, 2))
    case("addmm/factors", torch.addmm, normal(2), normal(3, 4), normal(4, 2), beta=0.5, alpha=-2.0)
    case("addmm/no_sum", torch.addmm, of(F64, NAN, 1.0), normal(3, 4), normal(4, 2), beta=0.0, alpha=1.0, grad=False)
    case("addmv/plain", torch.addmv, normal(3), normal(3, 4), normal(4))
    case("addmv/factors", torch.addmv, normal(1), normal(3, 4), normal(4), beta=2.0, alpha=3.0)
    case("addmv/float32", torch.addmv, normal(2, dtype=F32), normal(2, 3, dtype=F32), normal(3, dtype=F32))
    case("baddbmm/plain", torch.baddbmm, normal(2, 3, 2), normal(2, 3, 4), normal(2, 4, 2))
    case("baddbmm/factors", torch.baddbmm, normal(3, 1), normal(2, 3, 4), normal(2, 4, 2), beta=2.0, alpha=0.5)
    case("baddbmm/float32", torch.baddbmm, normal(1, dtype=F32), normal(1, 3, 2, dtype=F32), normal(1, 2, 2, dtype=F32))


def einsum():
    sum = lambda *operands, equation: torch.einsum(equation, *operands)
    equations = {
        "matmul": ("ij,jk->ik", (2, 3), (3, 4)),
        "implicit": ("ij,jk", (2, 3), (3, 4)),
        "implicit_order": ("ba", (2, 3)),
        "transpose": ("ij->ji", (2, 3)),
        "sum": ("ij->", (2, 3)),
        "sum_rows": ("ij->j", (2, 3)),
        "trace": ("ii", (3, 3)),
        "diagonal": ("ii->i", (3, 3)),
        "diagonal_of_three": ("iji->ij", (3, 2, 3)),
        "dot": ("i,i->", (4,), (4,)),
        "outer": ("i,j->ij", (3,), (2,)),
        "hadamard": ("ij,ij->ij", (2, 3), (2, 3)),
        "batch": ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
        "attention": ("bqhd,bkhd->bhqk", (2, 3, 2, 4), (2, 2, 2, 4)),
        "bilinear": ("bn,anm,bm->ba", (2, 3), (4, 3, 2), (2, 2)),
        "unused": ("ij,jk->k", (2, 3), (3, 4)),
        "four": ("ab,bc,cd,da->", (2, 3), (3, 2), (2, 4), (4, 2)),
        "ellipsis": ("...ij,...jk->...ik", (5, 2, 3), (5, 3, 2)),
        "ellipsis_broadcast": ("...ij,...jk->...ik", (4, 1, 2, 3), (5, 3, 2)),
        "ellipsis_last": ("i...->...", (3, 2, 2)),
        "ellipsis_implicit": ("...ii", (2, 3, 3)),
        "ellipsis_inside": ("a...b->ba...", (2, 3, 4)),
        "ellipsis_on_one_side": ("...i,ij->...j", (2, 2, 3), (3, 4)),
        "spaces": (" i j , j k -> i k ", (2, 3), (3, 4)),
        "size_one": ("ij,jk->ik", (2, 1), (3, 4)),
        "numbers": (",i->i", (), (3,)),
        "capitals": ("aB,Bc->ca", (2, 3), (3, 4)),
    }
    for label, (equation, *shapes) in equations.items():
        case(f"einsum/{label}", sum, *[normal(*shape) for shape in shapes], equation=equation)
    case("einsum/float32", sum, normal(3, 9, dtype=F32), normal(9, 2, dtype=F32), equation="ij,jk->ik")
    wrong = {
        "few_operands": ("ij,jk->ik", (2, 3)),
        "rank": ("ijk->i", (2, 3)),
        "sizes": ("ij,jk->ik", (2, 3), (4, 2)),
        "unknown_label": ("ij->k", (2, 3)),
        "label_twice": ("ij->ii", (2, 3)),
        "digit": ("i1->i", (2, 3)),
        "unequal_diagonal": ("ii->i", (2, 3)),
    }
    for label, (equation, *shapes) in wrong.items():
        case(f"einsum/{label}", sum, *[normal(*shape) for shape in shapes], error=True, equation=equation)


def selection():
    fill = lambda a, mask, value: a.masked_fill(mask, value)
    case("Tensor.masked_fill/same", fill, normal(2, 3), integers(0, 2, 2, 3, dtype=BOOL), value=-1.5)
    case("Tensor.masked_fill/broadcast", fill, normal(2, 3), of(BOOL, True, False, True), value=-INF)
    case("Tensor.masked_fill/int64", fill, of(I64, 1, 2), of(BOOL, True, False), value=7)
    case("masked_select/same", torch.masked_select, normal(2, 3), of(BOOL, [True, False, True], [False, False, True]))
    case("masked_select/broadcast", torch.masked_select, normal(2, 3), of(BOOL, True, False, True))
    case("masked_select/wider_mask", torch.masked_select, normal(3), integers(0, 2, 2, 3, dtype=BOOL))
    case("masked_select/none", torch.masked_select, normal(2), of(BOOL, False, False))
    case("nonzero/matrix", torch.nonzero, of(F64, [0.0, NAN, 1.0], [-0.0, -2.0, 0.0]), grad=False)
    case("nonzero/bool", torch.nonzero, of(BOOL, True, False, True))
    case("nonzero/none", torch.nonzero, of(I64, [0, 0], [0, 0]))
    case("nonzero/three", torch.nonzero, integers(0, 2, 2, 3, 2))
    pick = lambda a, index, dim: torch.index_select(a, dim, index)
    case("index_select/rows", pick, normal(4, 3), of(I64, 2, 0, 2), dim=0)
    case("index_select/columns", pick, normal(2, 3), of(I64, 1, 1), dim=-1)
    case("index_select/middle", pick, normal(2, 3, 2), of(I64, 2), dim=1)
    case("index_select/range", pick, normal(2, 3), of(I64, 3), dim=1, error=True)
    case("take/matrix", torch.take, normal(2, 3), of(I64, [5, 0], [2, 2]))
    case("take/vector", torch.take, normal(4), of(I64, 3, 1))
    case("take/range", torch.take, normal(4), of(I64, 4), error=True)
    case("take_along_dim/same", torch.take_along_dim, normal(2, 3), integers(0, 3, 2, 2), dim=1)
    case("take_along_dim/broadcast", torch.take_along_dim, normal(2, 3), integers(0, 2, 1, 3), dim=0)
    case("take_along_dim/wide", torch.take_along_dim, normal(1, 3), integers(0, 3, 2, 1), dim=1)
    collect = lambda a, index, dim: torch.gather(a, dim, index)
    case("gather/rows", collect, normal(3, 4), integers(0, 3, 2, 4), dim=0)
    case("gather/columns", collect, normal(3, 4), integers(0, 4, 3, 2), dim=1)
    case("gather/repeated", collect, normal(2, 2), of(I64, [0, 0, 0], [1, 1, 0]), dim=1)

    shuffle = lambda f: lambda a, index, source, dim: f(a, dim, index, source)
    case("index_add/rows", shuffle(torch.index_add), normal(4, 2), of(I64, 3, 0, 3), normal(3, 2), dim=0)
    case("index_add/columns", shuffle(torch.index_add), normal(2, 3), of(I64, 1), normal(2, 1), dim=1)
    case("index_add/int64", shuffle(torch.index_add), of(I64, 1, 2, 3), of(I64, 0, 0), of(I64, 5, 6), dim=0)
    case("index_add/range", shuffle(torch.index_add), normal(2, 2), of(I64, 2), normal(1, 2), dim=0, error=True)
    index = of(I64, [0, 2], [1, 0])
    case("scatter/rows", shuffle(torch.scatter), normal(2, 3), index, normal(2, 2), dim=1)
    case("scatter/columns", shuffle(torch.scatter), normal(3, 2), index, normal(2, 2), dim=0)
    case("scatter/nan", shuffle(torch.scatter), of(F64, NAN, 1.0, INF), of(I64, 1), of(F64, NAN), dim=0, grad=False)
    value = lambda a, index, dim, value: torch.scatter(a, dim, index, value)
    case("scatter/number", value, normal(2, 3), index, dim=1, value=2.5)
    case("scatter/int64", value, of(I64, 5, 6, 7), of(I64, 2), dim=0, value=1)
    case("scatter_add/rows", shuffle(torch.scatter_add), normal(2, 3), of(I64, [0, 0], [2, 1]), normal(2, 2), dim=1)
    case("scatter_add/columns", shuffle(torch.scatter_add), normal(3, 2), of(I64, [0, 1], [0, 1]), normal(2, 2), dim=0)
    case("scatter_add/float32", shuffle(torch.scatter_add), normal(3, dtype=F32), of(I64, 1, 1), normal(2, dtype=F32), dim=0)
    prefix = "nn.functional.one_hot"
    case(f"{prefix}/vector", F.one_hot, of(I64, 0, 2, 1), num_classes=3)
    case(f"{prefix}/matrix", F.one_hot, of(I64, [0, 1], [3, 1]), num_classes=5)
    case(f"{prefix}/range", F.one_hot, of(I64, 3), num_classes=3, error=True)


def creation():
    def made(f):
        return lambda **attrs: f(**{k: getattr(torch, v) if k == "dtype" else v for k, v in attrs.items()})

    case("linspace/float64", made(torch.linspace), start=-1.0, end=2.0, steps=7, dtype="float64")
    case("linspace/float32", made(torch.linspace), start=0.0, end=1.0, steps=4, dtype="float32")
    case("linspace/one", made(torch.linspace), start=3.0, end=5.0, steps=1, dtype="float64")
    case("linspace/none", made(torch.linspace), start=3.0, end=5.0, steps=0, dtype="float64")
    case("logspace/ten", made(torch.logspace), start=-1.0, end=2.0, steps=4, base=10.0, dtype="float64")
    case("logspace/two", made(torch.logspace), start=0.0, end=3.0, steps=4, base=2.0, dtype="float32")
    case("logspace/one", made(torch.logspace), start=2.0, end=9.0, steps=1, base=3.0, dtype="float64")
    case("arange/int64", made(torch.arange), start=2, end=11, step=3, dtype="int64")
    case("arange/down", made(torch.arange), start=1, end=-5, step=-2, dtype="int32")
    case("arange/float64", made(torch.arange), start=0.5, end=2.0, step=0.25, dtype="float64")
    case("arange/float32", made(torch.arange), start=0.0, end=1.0, step=0.3, dtype="float32")
    case("arange/none", made(torch.arange), start=1, end=1, step=1, dtype="int64")
    case("arange/away", made(torch.arange), start=1, end=5, step=-1, dtype="int64", error=True)
    case("eye/three", made(torch.eye), n=3, dtype="float32")
    case("eye/one", made(torch.eye), n=1, dtype="int64")
    case("eye/none", made(torch.eye), n=0, dtype="float64")
    for name in ("zeros", "ones"):
        case(f"{name}/matrix", made(function(name)), size=[2, 3], dtype="float32")
        case(f"{name}/number", made(function(name)), size=[], dtype="bool")
        case(f"{name}/none", made(function(name)), size=[0, 2], dtype="int64")
    case("full/float32", made(torch.full), size=[2, 2], fill_value=1.5, dtype="float32")
    case("full/int64", made(torch.full), size=[3], fill_value=-4, dtype="int64")
    case("full/bool", made(torch.full), size=[2], fill_value=True, dtype="bool")
    case("full_like/float32", torch.full_like, normal(2, 3, dtype=F32), fill_value=2.5, grad=False)
    case("full_like/int64", torch.full_like, of(I64, 1, 2), fill_value=7)
    case("full_like/number", torch.full_like, of(F64, 1.0), fill_value=-1.0, grad=False)
    for name in ("zeros_like", "ones_like"):
        case(f"{name}/float64", function(name), normal(2, 2), grad=False)
        case(f"{name}/int32", function(name), of(I32, 1, 2))
        case(f"{name}/bool", function(name), of(BOOL, [True], [False]))


if __name__ == "__main__":
    deterministic()
    for part in (unary, binary, ternary, reductions, structure, einsum, selection, creation):
        part()
    emit("functions", tensors, cases, torch=torch.__version__, gradus=GRADUS)
