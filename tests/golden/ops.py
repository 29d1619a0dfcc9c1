"""Golden values for the public tensor operations: gradients, promotion, special values.

`ops.json` lists the cases; `ops.safetensors` holds the numbers of case ID under
    ID/in0, ID/in1 …    the inputs
    ID/out              the output, whose dtype is part of the expectation
    ID/w, ID/grad0 …    where the case lists "gradients": those inputs' gradients of sum(out * w)

A case reads {"id", "op", "inputs": how many, "attrs", "gradients": [input numbers]}. Two flags are
optional:
    "error": true           PyTorch refuses these inputs, and so must Gradus; there is no output
    "signed_zero": true     the sign of a zero in the output is part of the expectation; for other
                            ops PyTorch promises nothing about it

Ops bear Gradus's names. The attributes are those of the method, with these conventions: an "axis"
or "axes" may be negative; "axes" null or absent means all of them; "scalar" is a second operand
written in the code, on the left if "reverse" is true; "pad" lists [before, after] for each axis,
the first axis first; "slice" has "start" and "end"; "dtype" is PyTorch's name.
"""

import zlib

import torch
import torch.nn.functional as F

from golden import deterministic, emit

NAN, INF = float("nan"), float("inf")
BOOL, U8, I32, I64 = torch.bool, torch.uint8, torch.int32, torch.int64
F16, BF16, F32, F64 = torch.float16, torch.bfloat16, torch.float32, torch.float64
DTYPES = [BOOL, U8, I32, I64, F16, BF16, F32, F64]


def name(dtype):
    return str(dtype).removeprefix("torch.")


# --- what each op means in PyTorch ----------------------------------------------------------------


def binary(function):
    def apply(a, b=None, scalar=None, reverse=False):
        b = scalar if b is None else b
        return function(b, a) if reverse else function(a, b)

    return apply


def reduction(function):
    def apply(a, axes=None, keepdim=False):
        axes = list(range(a.dim())) if axes is None else axes
        return function(a, dim=axes, keepdim=keepdim)

    return apply


def sliced(a, axis, start, end):
    return a[(slice(None),) * (axis % a.dim()) + (slice(start, end),)]


def pad(a, pad, value=0.0):
    return F.pad(a, [n for pair in reversed(pad) for n in pair], value=value)


BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}
COMPARE = {key: getattr(torch, key) for key in ("eq", "ne", "lt", "le", "gt", "ge")}
UNARY = {
    key: getattr(torch, key)
    for key in (
        *("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "abs", "neg", "sin", "cos", "erf"),
        *("reciprocal", "square", "floor", "ceil", "round", "sign"),
    )
}
OPS = {
    **{key: binary(function) for key, function in {**BINARY, **COMPARE}.items()},
    **UNARY,
    "logical_not": torch.logical_not,
    "where": torch.where,
    "cast": lambda a, dtype: a.to(getattr(torch, dtype)),
    "sum": reduction(torch.sum),
    "mean": reduction(torch.mean),
    "amax": reduction(torch.amax),
    "amin": reduction(torch.amin),
    "argmax": lambda a, axis: a.argmax(axis),
    "softmax": lambda a, axis: a.softmax(axis),
    "log_softmax": lambda a, axis: a.log_softmax(axis),
    "cross_entropy": F.cross_entropy,
    "matmul": torch.matmul,
    "permute": lambda a, axes: a.permute(axes),
    "transpose": lambda a, axes: a.transpose(*axes),
    "reshape": lambda a, shape: a.reshape(shape),
    "flatten": lambda a, start, end: a.flatten(start, end),
    "expand": lambda a, shape: a.expand(shape),
    "unsqueeze": lambda a, axis: a.unsqueeze(axis),
    "squeeze": lambda a, axis: a.squeeze(axis),
    "slice": sliced,
    "cat": lambda *tensors, axis: torch.cat(tensors, axis),
    "pad": pad,
    "gather": lambda a, index, axis: a.gather(axis, index),
    "one_hot": F.one_hot,
}
# Where IEEE 754 fixes the sign of a zero.
SIGNED_ZERO = {
    *("add", "sub", "mul", "div", "abs", "neg", "sqrt", "tanh", "sin"),
    *("reciprocal", "square", "floor", "ceil", "round"),
}


# --- recording ------------------------------------------------------------------------------------

tensors, cases = {}, []


class Draw:
    """Numbers that depend on the case's name alone, so that a new case disturbs no other."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(zlib.crc32(seed.encode()))

    def normal(self, *shape, dtype=F64):
        return torch.randn(shape, generator=self.generator, dtype=F64).to(dtype)

    def positive(self, *shape, dtype=F64):
        """In [0.25, 2.25): clear of the singularities of log, sqrt and division."""
        return (torch.rand(shape, generator=self.generator, dtype=F64) * 2 + 0.25).to(dtype)

    def integers(self, high, *shape, dtype=I64):
        """In 0..high."""
        return torch.randint(high, shape, generator=self.generator).to(dtype)


def case(id, op, *inputs, grad=True, error=False, **attrs):
    """Records one case. An input is a tensor or a function of a `Draw`.

    With `grad`, every float input gets a gradient where the op has one.
    """
    draw = Draw(id)
    inputs = [x(draw) if callable(x) else x for x in inputs]
    record = {"id": id, "op": op, "inputs": len(inputs), "attrs": attrs, "gradients": []}
    assert f"{id}/in0" not in tensors, f"two cases are named {id}"
    tensors.update({f"{id}/in{i}": x.clone() for i, x in enumerate(inputs)})
    cases.append(record)
    if error:
        record["error"] = True
        try:
            OPS[op](*inputs, **attrs)
        except (RuntimeError, IndexError, TypeError, ValueError):
            return
        raise AssertionError(f"{id}: PyTorch accepts it")

    leaves = [x.requires_grad_() if grad and x.is_floating_point() else x for x in inputs]
    output = OPS[op](*leaves, **attrs)
    if op in SIGNED_ZERO and output.is_floating_point():
        record["signed_zero"] = True
    tensors[f"{id}/out"] = output
    if output.requires_grad:
        record["gradients"] = [i for i, x in enumerate(leaves) if x.requires_grad]
        tensors[f"{id}/w"] = w = draw.normal(*output.shape, dtype=output.dtype)
        (output * w).sum().backward()
        tensors.update({f"{id}/grad{i}": leaves[i].grad for i in record["gradients"]})


def normal(*shape, dtype=F64):
    return lambda draw: draw.normal(*shape, dtype=dtype)


def positive(*shape, dtype=F64):
    return lambda draw: draw.positive(*shape, dtype=dtype)


def integers(high, *shape, dtype=I64):
    return lambda draw: draw.integers(high, *shape, dtype=dtype)


def of(dtype, *values):
    return torch.tensor(values, dtype=dtype)


# --- the cases ------------------------------------------------------------------------------------


def elementwise():
    shapes = {
        "same": ([2, 3], [2, 3]),
        "row": ([2, 3], [3]),
        "column": ([4, 1], [1, 5]),
        "three": ([2, 1, 3], [4, 1]),
        "scalar": ([2, 3], []),
        "both_scalars": ([], []),
        "empty": ([0, 3], [1, 3]),
    }
    for op in BINARY:
        for label, (a, b) in shapes.items():
            case(f"{op}/{label}", op, positive(*a), normal(*b) if op == "pow" else positive(*b))
    for op in ("add", "sub", "mul", "div", "pow"):
        case(f"{op}/number", op, positive(5), scalar=1.5)
        case(f"{op}/number_on_the_left", op, positive(5), scalar=2.5, reverse=True)
    for exponent in (0, 1, 2, 3, -1, 0.5, -0.5):
        case(f"pow/to_{exponent}", "pow", positive(4), scalar=exponent)
    case("pow/negative_base", "pow", of(F64, -2.0, -0.5, -1.0, 3.0), scalar=3)
    case("pow/zero_base", "pow", of(F64, 0.0, 0.0, 0.0, 0.0), of(F64, 1.0, 2.0, 3.0, 1.5))
    for op in ("maximum", "minimum"):
        case(f"{op}/ties", op, of(F64, 1.0, 2.0, -1.0), of(F64, 1.0, 1.0, -1.0))

    for op in UNARY:
        source = positive if op in ("log", "sqrt", "reciprocal") else normal
        case(f"{op}/regular", op, source(3, 5))
        case(f"{op}/scalar", op, source())
        case(f"{op}/float32", op, source(3, 11, dtype=F32))
    for op in ("relu", "abs", "square", "sign"):
        case(f"{op}/gradient_at_zero", op, of(F64, -1.0, -0.0, 0.0, 1.0))
    case("round/halves", "round", of(F64, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5), grad=False)

    for op in COMPARE:
        case(f"{op}/broadcast", op, integers(3, 4, 1), integers(3, 5))
        case(f"{op}/number", op, integers(4, 6), scalar=2)
        case(f"{op}/mixed", op, of(I64, 1, 2, 3), of(F32, 1.5, 2.0, 2.5))
    case("where/same", "where", integers(2, 2, 3, dtype=BOOL), normal(2, 3), normal(2, 3))
    case("where/broadcast", "where", integers(2, 4, 1, dtype=BOOL), normal(3), normal(2, 1, 3))
    case("where/promotes", "where", of(BOOL, True, False), of(F32, 1.0, 2.0), normal(2))
    case("where/hides_nan", "where", of(BOOL, True, False), of(F64, 1.0, NAN), of(F64, NAN, 2.0))
    case("logical_not/float64", "logical_not", of(F64, 0.0, -0.0, 1.0, NAN, -3.0), grad=False)
    case("logical_not/int64", "logical_not", of(I64, 0, 1, -1))
    case("logical_not/bool", "logical_not", of(BOOL, True, False))


def integer_arithmetic():
    top, wide = 2**63 - 1, 2**53
    for dtype in (U8, I32, I64):
        a, b = of(dtype, 1, 7, 100, 9), of(dtype, 3, 7, 2, 0)
        for op in ("add", "sub", "mul", "pow", "maximum", "minimum"):
            case(f"{op}/{name(dtype)}", op, a, b)
        for op in ("abs", "neg", "square", "sign"):
            case(f"{op}/{name(dtype)}", op, of(dtype, 0, 3, 200 if dtype == U8 else -7))
        for op in ("exp", "sqrt", "sigmoid", "reciprocal"):
            case(f"{op}/{name(dtype)}", op, of(dtype, 1, 4, 9))
    case("add/wraps_uint8", "add", of(U8, 200, 255), of(U8, 100, 1))
    case("add/wraps_int32", "add", of(I32, 2**31 - 1), of(I32, 1))
    case("add/wraps_int64", "add", of(I64, top), of(I64, 1))
    case("mul/wraps_int32", "mul", of(I32, 65536, 3), of(I32, 65536, 5))
    case("add/exact_int64", "add", of(I64, wide), of(I64, 1))
    case("eq/exact_int64", "eq", of(I64, wide, wide), of(I64, wide + 1, wide))
    case("amax/exact_int64", "amax", of(I64, wide, wide + 1, 5), axes=[0])
    case("sum/exact_int64", "sum", of(I64, wide, 1, 1))
    case("argmax/exact_int64", "argmax", of(I64, wide, wide + 1, 5), axis=0)


def promotion():
    a = {dtype: of(dtype, 1, 0, 3) if dtype == BOOL else of(dtype, 1, 2, 3) for dtype in DTYPES}
    b = {dtype: of(dtype, 1, 0, 1) if dtype == BOOL else of(dtype, 3, 2, 4) for dtype in DTYPES}
    for left in DTYPES:
        for right in DTYPES:
            pair = f"{name(left)}_{name(right)}"
            case(f"promotion/add_{pair}", "add", a[left], b[right], grad=False)
            if right != BOOL:  # which would divide by zero
                case(f"promotion/div_{pair}", "div", a[left], b[right], grad=False)
        for scalar in (True, 2, 2.5):
            label = f"{name(left)}_number_{type(scalar).__name__}"
            case(f"promotion/add_{label}", "add", a[left], grad=False, scalar=scalar)
            case(f"promotion/mul_{label}", "mul", a[left], grad=False, scalar=scalar)
            case(f"promotion/div_{label}", "div", a[left], grad=False, scalar=scalar)
            case(f"promotion/gt_{label}", "gt", a[left], grad=False, scalar=scalar)
    case("promotion/maximum_int64_float32", "maximum", of(I64, 1, 5), of(F32, 2.5, 2.5), grad=False)
    # A tensor without axes is as weak as a number: it changes the class, never the width.
    weak = {F32: F64, F16: F32, BF16: F16, I64: F64, I32: I64, U8: I64, BOOL: U8, F64: I64}
    for left, right in weak.items():
        zero = torch.tensor(2, dtype=right)
        case(f"promotion/zero_dim_{name(left)}_{name(right)}", "add", a[left], zero, grad=False)

    def cast(label, values, target, grad=False):
        case(f"cast/{label}", "cast", values, grad=grad, dtype=name(target))

    numbers = {dtype: of(dtype, 0, 1, 3) for dtype in DTYPES}
    numbers |= {dtype: of(dtype, 0.0, 1.75, 3.5) for dtype in (F16, BF16, F32, F64)}
    for source in DTYPES:
        for target in DTYPES:
            cast(f"{name(source)}_{name(target)}", numbers[source], target)
    cast("truncates", of(F64, -2.7, -0.5, 2.7), I64)
    cast("wraps", of(I64, 300, -1, 256), U8)
    cast("nan_is_true", of(F64, NAN, 0.0, -0.0, 0.1), BOOL)
    cast("rounds_to_even", of(F32, 1 + 2**-8, 1 + 3 * 2**-8, 65504.0), BF16)
    cast("overflows_float16", of(F32, 65504.0, 65520.0, -1e9, 6e-8, 1e-9), F16)
    cast("gradient", normal(4, dtype=F32), F64, grad=True)


def half_precision():
    for dtype in (F16, BF16):
        draw = Draw(name(dtype))
        a, b = draw.positive(20, dtype=dtype), draw.positive(20, dtype=dtype)
        for op in BINARY:
            case(f"half/{op}_{name(dtype)}", op, a, b, grad=False)
        for op in ("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "square"):
            case(f"half/{op}_{name(dtype)}", op, a, grad=False)
    # Sums run in f32: a running sum in the storage type would stop at 2048 and at 256.
    case("half/sum_float16", "sum", torch.ones(3000, dtype=F16), grad=False)
    case("half/sum_bfloat16", "sum", torch.ones(1000, dtype=BF16), grad=False)
    case("half/mean_bfloat16", "mean", torch.ones(1000, dtype=BF16), grad=False)


def reductions():
    axes = {
        "all": None,
        "first": [0],
        "last": [-1],
        "middle": [1],
        "outer": [0, 2],
        "every": [0, 1, 2],
    }
    for op in ("sum", "mean", "amax", "amin"):
        for label, chosen in axes.items():
            case(f"{op}/{label}", op, normal(2, 3, 4), axes=chosen)
        case(f"{op}/keepdim", op, normal(2, 3, 4), axes=[1], keepdim=True)
        case(f"{op}/keepdim_all", op, normal(2, 3), axes=[0, 1], keepdim=True)
        case(f"{op}/scalar", op, normal())
        case(f"{op}/float32", op, normal(7, 33, dtype=F32), axes=[1])
    for op in ("amax", "amin"):
        case(f"{op}/ties", op, of(F64, [1.0, 3.0, 3.0], [2.0, 2.0, 2.0]), axes=[1])
        case(f"{op}/nan", op, of(F64, [1.0, NAN, 3.0], [-INF, 2.0, INF]), grad=False, axes=[1])
        case(f"{op}/int32", op, of(I32, [3, -1, 2], [5, 5, 0]), axes=[1])
        case(f"{op}/bool", op, of(BOOL, [True, False], [False, False]), axes=[1])
        case(f"{op}/empty", op, torch.zeros(2, 0, dtype=F64), error=True, axes=[1])
        case(f"{op}/empty_kept", op, torch.zeros(0, 2, dtype=F64), axes=[1])
    for dtype in (BOOL, U8, I32, I64):
        case(f"sum/{name(dtype)}", "sum", of(dtype, [1, 0, 1], [1, 1, 1]), axes=[1])
    case("sum/uint8_does_not_wrap", "sum", of(U8, 200, 200, 200))
    case("sum/empty", "sum", torch.zeros(2, 0, dtype=F64), axes=[1])
    case("mean/empty", "mean", torch.zeros(2, 0, dtype=F64), axes=[1])
    infinities = of(F64, [INF, 1.0], [INF, -INF], [NAN, 1.0])
    case("sum/infinities", "sum", infinities, grad=False, axes=[1])
    case("mean/int64", "mean", of(I64, 1, 2), error=True)

    case("argmax/last", "argmax", normal(3, 5), grad=False, axis=-1)
    case("argmax/first", "argmax", normal(3, 5), grad=False, axis=0)
    case("argmax/middle", "argmax", normal(2, 3, 4), grad=False, axis=1)
    ties = of(F64, [1.0, 3.0, 3.0], [0.0, -0.0, 0.0], [2.0, 1.0, 2.0])
    case("argmax/ties", "argmax", ties, grad=False, axis=1)
    nans = of(F64, [1.0, NAN, 3.0, NAN], [INF, 2.0, NAN, 0.0], [NAN, INF, 0.0, 0.0])
    case("argmax/nan", "argmax", nans, grad=False, axis=1)
    case("argmax/infinities", "argmax", of(F64, [-INF, -INF], [-INF, INF]), grad=False, axis=1)
    case("argmax/float32", "argmax", normal(4, 37, dtype=F32), grad=False, axis=1)


def losses():
    for op in ("softmax", "log_softmax"):
        case(f"{op}/rows", op, normal(3, 5), axis=-1)
        case(f"{op}/columns", op, normal(3, 5), axis=0)
        case(f"{op}/middle", op, normal(2, 3, 4), axis=1)
        case(f"{op}/one", op, normal(3, 1), axis=1)
        case(f"{op}/float32", op, normal(4, 10, dtype=F32), axis=1)
        case(f"{op}/large", op, of(F64, [1000.0, 1001.0, 999.0], [-1000.0, 0.0, 1000.0]), axis=1)
        special = of(F64, [-INF, 0.0, 1.0], [INF, 0.0, 1.0], [-INF, -INF, -INF], [NAN, 0.0, 1.0])
        case(f"{op}/special", op, special, grad=False, axis=1)

    def cross_entropy(label, logits, *labels, reduction="mean", error=False):
        id = f"cross_entropy/{label}"
        case(id, "cross_entropy", logits, of(I64, *labels), reduction=reduction, error=error)

    for kind in ("none", "mean", "sum"):
        cross_entropy(kind, normal(6, 5), 2, 0, 4, 4, 1, 3, reduction=kind)
        cross_entropy(f"{kind}_f32", normal(6, 5, dtype=F32), 2, 0, 4, 4, 1, 3, reduction=kind)
    cross_entropy("one_sample", normal(1, 3), 1)
    cross_entropy("large", of(F64, [1000.0, -1000.0], [0.0, 1000.0]), 1, 1, reduction="none")
    cross_entropy("label_too_large", normal(2, 3), 1, 3, error=True)
    cross_entropy("label_negative", normal(2, 3), -1, 0, error=True)
    cross_entropy("label_count", normal(2, 3), 1, 0, 2, error=True)


def matmul():
    shapes = {
        "vector_vector": ([4], [4]),
        "vector_matrix": ([4], [4, 3]),
        "matrix_vector": ([2, 4], [4]),
        "matrix_matrix": ([2, 4], [4, 3]),
        "batch_matrix": ([3, 2, 4], [4, 5]),
        "matrix_batch": ([2, 4], [3, 4, 5]),
        "batch_batch": ([3, 2, 4], [3, 4, 5]),
        "batch_broadcast": ([1, 2, 4], [3, 4, 2]),
        "vector_batch": ([4], [3, 4, 2]),
        "batch_vector": ([3, 2, 4], [4]),
        "rank4": ([2, 3, 2, 4], [2, 3, 4, 2]),
        "rank4_broadcast": ([2, 1, 2, 3], [3, 3, 2]),
        "rank4_broadcast_both": ([2, 1, 2, 3], [1, 3, 3, 2]),
        "rank4_vector": ([2, 2, 2, 3], [3]),
        "ones": ([1, 1], [1, 1]),
        "outer": ([3, 1], [1, 4]),
        "no_inner": ([2, 0], [0, 3]),
        "no_rows": ([0, 3], [3, 2]),
    }
    for label, (a, b) in shapes.items():
        case(f"matmul/{label}", "matmul", normal(*a), normal(*b))
    case("matmul/float32", "matmul", normal(17, 33, dtype=F32), normal(33, 19, dtype=F32))
    special = of(F64, [NAN, 0.0], [1.0, INF]), of(F64, [0.0, 1.0], [1.0, 0.0])
    case("matmul/nan_and_infinity", "matmul", *special, grad=False)
    mismatches = {
        "inner": ([2, 3], [4, 2]),
        "batch": ([2, 2, 3], [3, 3, 2]),
        "scalar": ([], [2, 2]),
    }
    for label, (a, b) in mismatches.items():
        case(f"matmul/mismatch_{label}", "matmul", normal(*a), normal(*b), error=True)


def structure():
    case("permute/reversed", "permute", normal(2, 3, 4), axes=[2, 1, 0])
    case("permute/rotated", "permute", normal(2, 3, 4), axes=[1, -1, 0])
    case("permute/repeated", "permute", normal(2, 3), error=True, axes=[0, 0])
    case("transpose/matrix", "transpose", normal(2, 3), axes=[0, 1])
    case("transpose/negative", "transpose", normal(2, 3, 4), axes=[-1, 0])
    case("reshape/merge", "reshape", normal(2, 3, 4), shape=[6, 4])
    case("reshape/infer", "reshape", normal(2, 3, 4), shape=[4, -1])
    case("reshape/scalar", "reshape", normal(1, 1), shape=[])
    case("reshape/empty", "reshape", normal(0, 3), shape=[3, 0])
    case("reshape/wrong_count", "reshape", normal(2, 3), error=True, shape=[4, 2])
    case("reshape/indivisible", "reshape", normal(2, 3), error=True, shape=[4, -1])
    case("flatten/all", "flatten", normal(2, 3, 4), start=0, end=-1)
    case("flatten/from_one", "flatten", normal(2, 3, 4), start=1, end=-1)
    case("expand/row", "expand", normal(3), shape=[2, 3])
    case("expand/column", "expand", normal(2, 1), shape=[2, 4])
    case("expand/scalar", "expand", normal(), shape=[2, 3])
    case("expand/not_one", "expand", normal(2, 3), error=True, shape=[4, 3])
    case("unsqueeze/front", "unsqueeze", normal(2, 3), axis=0)
    case("unsqueeze/back", "unsqueeze", normal(2, 3), axis=-1)
    case("squeeze/one", "squeeze", normal(2, 1, 3), axis=1)
    case("slice/inner", "slice", normal(5, 3), axis=0, start=1, end=4)
    case("slice/last", "slice", normal(2, 5), axis=-1, start=2, end=5)
    case("slice/empty", "slice", normal(4, 2), axis=0, start=2, end=2)
    case("cat/rows", "cat", normal(2, 3), normal(1, 3), normal(4, 3), axis=0)
    case("cat/columns", "cat", normal(2, 3), normal(2, 1), axis=-1)
    case("cat/one", "cat", normal(2, 3), axis=0)
    case("cat/with_empty", "cat", normal(0, 3), normal(2, 3), axis=0)
    case("cat/promotes", "cat", of(I64, 1, 2), of(F32, 0.5), grad=False, axis=0)
    case("cat/mismatch", "cat", normal(2, 3), normal(2, 4), error=True, axis=0)
    case("pad/matrix", "pad", normal(2, 3), pad=[[1, 2], [0, 1]])
    case("pad/value", "pad", normal(3), pad=[[2, 1]], value=-1.5)
    case("pad/int64", "pad", of(I64, 1, 2, 3), pad=[[1, 1]])
    case("gather/rows", "gather", normal(3, 4), integers(3, 2, 4), axis=0)
    case("gather/columns", "gather", normal(3, 4), integers(4, 3, 2), axis=1)
    case("gather/repeated", "gather", normal(5), of(I64, 3, 3, 0, 3), axis=0)
    case("gather/fewer_rows", "gather", normal(3, 4), integers(4, 2, 3), axis=-1)
    case("gather/out_of_range", "gather", normal(3), of(I64, 0, 3), error=True, axis=0)
    case("one_hot/vector", "one_hot", of(I64, 2, 0, 3), num_classes=4)
    case("one_hot/matrix", "one_hot", of(I64, [0, 1], [2, 1]), num_classes=3)
    case("one_hot/out_of_range", "one_hot", of(I64, 0, 3), error=True, num_classes=3)
    mismatches = {"trailing": ([2, 3], [2]), "middle": ([2, 3, 4], [2, 1]), "one": ([2], [3])}
    for label, (a, b) in mismatches.items():
        case(f"add/mismatch_{label}", "add", normal(*a), normal(*b), error=True)


def special_values():
    for dtype in (F64, F32):
        huge, tiny = (1e300, 1e-300) if dtype == F64 else (1e38, 1e-37)
        over, under = (710.0, -746.0) if dtype == F64 else (89.0, -104.0)
        ordinary = (NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5)
        values = of(dtype, *ordinary, huge, -huge, tiny, over, under)
        for op in UNARY:
            # The range reduction of a huge angle is a question of its own.
            some = values[values.abs() != huge] if op in ("sin", "cos") else values
            case(f"special/{op}_{name(dtype)}", op, some, grad=False)
        some = of(dtype, NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0)
        column, row = some[:, None], some[None, :]
        for op in (*BINARY, *COMPARE):
            case(f"special/{op}_{name(dtype)}", op, column, row, grad=False)
        pairs = torch.stack(torch.broadcast_tensors(column, row), dim=-1).flatten(0, 1)
        for op in ("amax", "amin", "argmax", "sum", "mean"):
            axis = dict(axis=1) if op == "argmax" else dict(axes=[1])
            case(f"special/{op}_{name(dtype)}", op, pairs, grad=False, **axis)
    for op in ("relu", "abs", "tanh", "sigmoid"):
        case(f"special/{op}_gradient", op, of(F64, NAN, INF, -INF))
    for op in ("maximum", "minimum"):
        case(f"special/{op}_gradient", op, of(F64, INF, -INF, INF), of(F64, 1.0, 1.0, INF))


def main():
    deterministic()
    for section in (
        *(elementwise, integer_arithmetic, promotion, half_precision, reductions),
        *(losses, matmul, structure, special_values),
    ):
        section()
    emit("ops", tensors, cases, torch=torch.__version__)


if __name__ == "__main__":
    main()
