"""Golden values for layers and the functions beside them: values and gradients, in f64.

`layers.json` lists the cases; `layers.safetensors` holds the numbers of case ID under
    ID/in0, ID/in1 …        the arguments of `forward`
    ID/attn_mask …          arguments that are masks
    ID/state/NAME           the state dict before
    ID/warm                 where "warm" is true: an input that passes forward first, in training
    ID/out, ID/out1         the outputs
    ID/w, ID/grad0 …        the gradients of sum(out * w) with respect to the inputs in "gradients"
    ID/grad/NAME            and with respect to the parameters in "parameters"
    ID/after/NAME           the buffers afterwards

A case reads {"id", "layer", "options", "inputs": how many, "gradients", "masks": names, "state":
names in order, "parameters": names, "buffers": names, "train": training or evaluation, "warm",
"outputs": how many, "print": how PyTorch prints the layer in one
line, "rounded": optional, PyTorch itself is exact to 1e-7 only}. "options" are those of the constructor
and, for attention, of `forward`; functions are named in lower case and have no state.
"""

import zlib

import torch
import torch.nn.functional as F
from torch import nn

from golden import deterministic, emit

F64 = torch.float64
NAN = float("nan")
tensors, cases = {}, []

# PyTorch's f64 gradients of these have constants (1/6, 1/alpha) that are rounded to f32.
ROUNDED = {"Hardsigmoid", "CELU"}

# Bends and where exponentials stop mattering.
KINKS = [-30, -6, -3, -1, -0.5, -0.1, -0.0, 0, 0.1, 0.5, 1, 3, 6, 19.9, 20.1, 30]
# Where they overflow; apart, as a value is compared relative to the largest beside it.
FAR = [-1e4, -800, -100, 100, 800, 1e4]


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


def normal(*shape, scale=1.0, shift=0.0):
    return lambda d: d.normal(*shape) * scale + shift


def record(id, layer, make, inputs, options, *, run=None, grad=True, train=True, warm=None, masks=()):
    """`make(options)` gives a module or, without state, a function."""
    assert all(case["id"] != id for case in cases), id
    draw = Draw(id)
    module = make(options)
    state, parameters, buffers = {}, {}, {}
    if isinstance(module, nn.Module):
        module = module.double().train(train)
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                # Not what layers start with, which would hide a weight that is not used.
                new = draw.unit(*value.shape) + 0.5 if "var" in key else draw.normal(*value.shape) * 0.5
                value.copy_(new)
        state = {key: value.clone() for key, value in module.state_dict().items()}
        parameters = dict(module.named_parameters())
        buffers = dict(module.named_buffers())
    inputs = [x(draw) if callable(x) else x.clone() for x in inputs]
    masks = {key: value(draw) if callable(value) else value for key, value in dict(masks).items()}
    if warm is not None:
        value = warm(draw)
        tensors[f"{id}/warm"] = value
        with torch.no_grad():
            module.train()(value)
            module.train(train)
    for i, x in enumerate(inputs):
        tensors[f"{id}/in{i}"] = x.clone()
    leaves = [x.requires_grad_() if grad and x.is_floating_point() else x for x in inputs]
    call = run or (lambda module, *x, **masks: module(*x, **masks))
    outputs = call(module, *leaves, **masks)
    outputs = [o for o in (outputs if isinstance(outputs, tuple) else (outputs,)) if o is not None]
    for i, out in enumerate(outputs):
        tensors[f"{id}/out{i}"] = out.clone()
    tensors.update({f"{id}/{key}": value.clone() for key, value in masks.items()})
    tensors.update({f"{id}/state/{key}": value for key, value in state.items()})
    gradients = []
    if grad:
        w = draw.normal(*outputs[0].shape)
        tensors[f"{id}/w"] = w
        (outputs[0] * w).sum().backward()
        gradients = [i for i, x in enumerate(leaves) if x.requires_grad]
        tensors.update({f"{id}/grad{i}": leaves[i].grad for i in gradients})
        tensors.update({f"{id}/grad/{key}": p.grad for key, p in parameters.items()})
    tensors.update({f"{id}/after/{key}": value.clone() for key, value in buffers.items()})
    cases.append(
        {
            **{"id": id, "layer": layer, "options": options, "inputs": len(inputs)},
            **{"gradients": gradients, "masks": list(masks), "state": list(state)},
            **{"parameters": list(parameters) if grad else [], "buffers": list(buffers)},
            **{"train": train, "warm": warm is not None, "outputs": len(outputs)},
            "print": printed(module),
            **({"rounded": True} if layer in ROUNDED else {}),
        }
    )


def printed(module):
    """One line, if it is one: layers made of layers print in another way."""
    text = repr(module) if isinstance(module, nn.Module) else ""
    return "" if "\n" in text else text


def layer(id, *inputs, train=True, grad=True, warm=None, **options):
    name = id.split("/")[0]
    tuples = lambda o: {k: tuple(v) if isinstance(v, list) else v for k, v in o.items()}
    make = lambda options: getattr(nn, name)(**tuples(options))
    record(id, name, make, inputs, options, train=train, grad=grad, warm=warm)


def activations():
    variants = {
        **{name: [{}] for name in ("ReLU", "ReLU6", "Sigmoid", "Tanh", "SiLU", "Mish", "LogSigmoid")},
        **{name: [{}] for name in ("Softsign", "Tanhshrink", "SELU", "Hardsigmoid", "Hardswish")},
        "GELU": [{"approximate": "none"}, {"approximate": "tanh"}],
        "LeakyReLU": [{}, {"negative_slope": 0.2}, {"negative_slope": -0.5}],
        "ELU": [{}, {"alpha": 0.3}],
        "CELU": [{}, {"alpha": 0.3}],
        "Softplus": [{}, {"beta": 2.0, "threshold": 5.0}, {"beta": 0.5, "threshold": 3.0}],
        "Hardtanh": [{}, {"min_val": -0.5, "max_val": 3.0}],
        "Softshrink": [{}, {"lambd": 0.1}],
        "Hardshrink": [{}, {"lambd": 0.1}],
        "Threshold": [{"threshold": 0.1, "value": 20.0}, {"threshold": -0.5, "value": -3.0}],
    }
    for name, options in variants.items():
        for i, chosen in enumerate(options):
            layer(f"{name}/{i}_regular", normal(3, 5, scale=2.0), **chosen)
            layer(f"{name}/{i}_kinks", torch.tensor(KINKS, dtype=F64), **chosen)
            layer(f"{name}/{i}_far", torch.tensor(FAR, dtype=F64), **chosen)
        layer(f"{name}/nan", torch.tensor([NAN, 1.0], dtype=F64), grad=False, **options[0])
        layer(f"{name}/scalar", normal(), **options[-1])
    layer("PReLU/one", normal(3, 4))
    layer("PReLU/channels", normal(2, 3, 4), num_parameters=3)
    layer("PReLU/image", normal(2, 3, 2, 2), num_parameters=3)
    layer("PReLU/vector", normal(5))
    for dim in (0, 1, -1):
        layer(f"GLU/dim_{dim}", normal(4, 2, 6), dim=dim)
        for name in ("Softmax", "LogSoftmax", "Softmin"):
            layer(f"{name}/dim_{dim}", normal(3, 2, 4, scale=3.0), dim=dim)
    huge = torch.tensor([[1e4, 0.0, -1e4], [-1e30, -1e30, -1e30]], dtype=F64)
    inf = float("inf")
    masked = torch.tensor([[0.0, -inf, 1.0], [2.0, 1.0, -inf]], dtype=F64)
    broken = torch.tensor([[NAN, 1.0], [-inf, -inf], [inf, 1.0]], dtype=F64)
    for name in ("Softmax", "LogSoftmax"):
        layer(f"{name}/huge", huge, dim=1)
        layer(f"{name}/masked", masked, grad=name == "Softmax", dim=1)
        layer(f"{name}/broken", broken, grad=False, dim=1)


def normalizations():
    shapes = {"BatchNorm1d": [(5, 3), (4, 3, 2)], "BatchNorm2d": [(2, 3, 2, 2)], "BatchNorm3d": [(2, 3, 1, 2, 2)]}
    for name, sizes in shapes.items():
        for shape in sizes:
            x = normal(*shape, scale=2.0, shift=1.0)
            label = f"{name}/{len(shape)}d"
            layer(f"{label}_train", x, num_features=3)
            layer(f"{label}_twice", x, num_features=3, warm=x, momentum=0.3)
            layer(f"{label}_average", x, num_features=3, warm=x, momentum=None)
            layer(f"{label}_eval", x, num_features=3, train=False, warm=x)
            layer(f"{label}_plain", x, num_features=3, affine=False, eps=0.1)
            layer(f"{label}_plain_eval", x, num_features=3, affine=False, train=False)
            layer(f"{label}_untracked", x, num_features=3, track_running_stats=False, train=False)
    layer("LayerNorm/last", normal(2, 3, 4, scale=2.0, shift=1.0), normalized_shape=[4])
    layer("LayerNorm/two", normal(2, 3, 4), normalized_shape=[3, 4], eps=0.1)
    layer("LayerNorm/no_bias", normal(2, 4), normalized_shape=[4], bias=False)
    layer("LayerNorm/plain", normal(2, 4), normalized_shape=[4], elementwise_affine=False)
    layer("LayerNorm/vector", normal(4), normalized_shape=[4])
    layer("RMSNorm/last", normal(2, 3, 4, scale=2.0), normalized_shape=[4], eps=1e-6)
    layer("RMSNorm/two", normal(2, 3, 4), normalized_shape=[3, 4], eps=0.1)
    layer("RMSNorm/plain", normal(2, 4), normalized_shape=[4], elementwise_affine=False)
    layer("GroupNorm/image", normal(2, 6, 2, 2, shift=1.0), num_groups=3, num_channels=6)
    layer("GroupNorm/one", normal(2, 4, 3), num_groups=1, num_channels=4, eps=0.1)
    layer("GroupNorm/each", normal(2, 4, 3), num_groups=4, num_channels=4)
    layer("GroupNorm/plain", normal(3, 6), num_groups=2, num_channels=6, affine=False)


def embeddings():
    o = dict(num_embeddings=7, embedding_dim=3)
    layer("Embedding/matrix", lambda d: d.labels(7, 2, 4), **o)
    layer("Embedding/padding", lambda d: d.labels(3, 8), **o, padding_idx=2)
    layer("Embedding/scalar", lambda d: d.labels(7), **o)
    layer("Embedding/int32", lambda d: d.labels(7, 5).to(torch.int32), **o)


CALL = {"is_causal", "need_weights", "average_attn_weights"}


def attend(id, *inputs, masks=(), **options):
    """`is_causal` alone is enough for Gradus; PyTorch wants the mask as well."""
    def make(options):
        return nn.MultiheadAttention(**{k: v for k, v in options.items() if k not in CALL})

    def run(module, *x, **masks):
        x = x * 3 if len(x) == 1 else x
        given = {k: v for k, v in options.items() if k in CALL}
        if given.get("is_causal"):
            axis = 0 if x[0].dim() == 2 else 1 if module.batch_first else 0
            n, m = x[0].shape[axis], x[1].shape[axis]
            causal = torch.ones(n, m, dtype=torch.bool).triu(1)
            mask = masks.get("attn_mask")
            masks["attn_mask"] = causal if mask is None else mask | causal
            given["is_causal"] = False
        return module(*x, **{"need_weights": False, **given}, **masks)

    record(id, "MultiheadAttention", make, inputs, options, run=run, masks=masks)


def causal(n, m):
    return torch.ones(n, m, dtype=torch.bool).triu(1)


def attentions():
    o = dict(embed_dim=6, num_heads=2)
    first = dict(**o, batch_first=True)
    padding = torch.tensor([[False, False, True], [False, True, False]])
    name = "MultiheadAttention"
    attend(f"{name}/self", normal(3, 2, 6), **o)
    attend(f"{name}/self_first", normal(2, 3, 6), **first)
    attend(f"{name}/cross", normal(4, 2, 6), normal(3, 2, 6), normal(3, 2, 6), **o)
    attend(f"{name}/no_bias", normal(2, 4, 6), normal(2, 3, 6), normal(2, 3, 6), **first, bias=False)
    attend(f"{name}/unbatched", normal(3, 6), **o, need_weights=True)
    attend(f"{name}/causal", normal(2, 3, 6), **first, is_causal=True)
    attend(f"{name}/padding", normal(2, 3, 6), **first, masks={"key_padding_mask": padding})
    attend(
        f"{name}/padding_causal",
        normal(2, 3, 6),
        **first,
        masks={"key_padding_mask": padding},
        is_causal=True,
        need_weights=True,
    )
    attend(f"{name}/mask", normal(2, 3, 6), **first, masks={"attn_mask": causal(3, 3)})
    attend(f"{name}/added", normal(2, 3, 6), **first, masks={"attn_mask": normal(3, 3)})
    attend(f"{name}/per_head", normal(2, 3, 6), **first, masks={"attn_mask": normal(4, 3, 3)})
    added = {"attn_mask": normal(3, 3), "key_padding_mask": normal(2, 3)}
    attend(f"{name}/added_both", normal(2, 3, 6), **first, masks=added)
    attend(f"{name}/weights", normal(2, 3, 6), **first, need_weights=True)
    attend(
        f"{name}/weights_of_heads",
        normal(2, 3, 6),
        **first,
        need_weights=True,
        average_attn_weights=False,
    )

    def sdpa(id, *inputs, mask=None, **options):
        run = lambda _, *x, **m: F.scaled_dot_product_attention(*x, **m, **options)
        masks = {} if mask is None else {"attn_mask": mask}
        name = "scaled_dot_product_attention"
        record(f"{name}/{id}", name, lambda _: None, inputs, options, run=run, masks=masks)

    three = normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 3)
    sdpa("plain", *three)
    sdpa("scale", *three, scale=0.3)
    sdpa("causal", *three, is_causal=True)
    sdpa("heads", normal(2, 2, 3, 4), normal(2, 2, 3, 4), normal(2, 2, 3, 4), is_causal=True)
    sdpa("mask", *three, mask=~causal(3, 5))
    sdpa("added", *three, mask=normal(2, 3, 5))
    dead = ~causal(3, 5)
    dead[1] = False
    sdpa("dead_row", *three, mask=dead)
    sdpa("dead_row_added", *three, mask=torch.zeros(3, 5, dtype=F64).masked_fill(~dead, -float("inf")))


def transformers():
    o = dict(d_model=4, nhead=2, dim_feedforward=5, dropout=0.0)

    def encode(id, x, depth=None, norm=False, masks=(), **options):
        name = "TransformerEncoderLayer" if depth is None else "TransformerEncoder"

        def make(options):
            options = {k: v for k, v in options.items() if k not in ("depth", "norm", "is_causal")}
            one = nn.TransformerEncoderLayer(**options)
            if depth is None:
                return one
            end = nn.LayerNorm(4) if norm else None
            return nn.TransformerEncoder(one, depth, norm=end, enable_nested_tensor=False)

        def run(module, x, **masks):
            if options.get("is_causal"):
                masks["src_mask" if depth is None else "mask"] = causal(3, 3)
            if depth is not None and "src_mask" in masks:
                masks["mask"] = masks.pop("src_mask")
            return module(x, **masks)

        held = {**options} if depth is None else {**options, "depth": depth, "norm": norm}
        record(f"{name}/{id}", name, make, [x], held, run=run, masks=masks)

    padding = torch.tensor([[False, False, True], [False, True, False]])
    encode("plain", normal(3, 2, 4), **o)
    encode("norm_first", normal(2, 3, 4), **o, norm_first=True, batch_first=True, activation="gelu")
    encode("no_bias", normal(2, 3, 4), **o, bias=False, batch_first=True, layer_norm_eps=0.1)
    encode("masks", normal(2, 3, 4), **o, batch_first=True, masks={"src_key_padding_mask": padding})
    encode("causal", normal(2, 3, 4), **o, batch_first=True, is_causal=True)
    encode("two", normal(2, 3, 4), 2, **o, batch_first=True)
    encode("norm", normal(2, 3, 4), 2, True, **o, norm_first=True, batch_first=True)
    encode("unbatched", normal(3, 4), 1, **o)
    encode("masked", normal(2, 3, 4), 2, **o, batch_first=True, masks={"src_mask": causal(3, 3)})


def convolutions():
    x, line = normal(2, 4, 6, 5), normal(2, 4, 9)
    layer("Linear/bias", normal(2, 3, 4), in_features=4, out_features=3)
    layer("Linear/no_bias", normal(3, 4), in_features=4, out_features=2, bias=False)
    layer("Linear/vector", normal(4), in_features=4, out_features=3)
    o = dict(in_channels=4, out_channels=6)
    layer("Conv2d/plain", x, **o, kernel_size=3)
    layer("Conv2d/strided", x, **o, kernel_size=[3, 2], stride=2, padding=[1, 0])
    layer("Conv2d/groups", x, **o, kernel_size=3, padding=1, groups=2, bias=False)
    layer("Conv2d/same", x, **o, kernel_size=3, padding="same", dilation=[1, 2])
    layer("Conv1d/plain", line, **o, kernel_size=3)
    layer("Conv1d/strided", line, **o, kernel_size=4, stride=2, padding=1, groups=2)
    layer("Conv1d/same", line, **o, kernel_size=3, padding="same", dilation=2, bias=False)
    layer("ConvTranspose2d/plain", x, **o, kernel_size=3)
    layer("ConvTranspose2d/doubling", x, **o, kernel_size=3, stride=2, padding=1, output_padding=1)
    layer("ConvTranspose2d/groups", x, **o, kernel_size=[2, 3], stride=[1, 2], groups=2, bias=False)
    for name in ("MaxPool2d", "AvgPool2d"):
        layer(f"{name}/plain", x, kernel_size=2)
        layer(f"{name}/strided", x, kernel_size=3, stride=2, padding=1)
        layer(f"{name}/ceil", x, kernel_size=[2, 3], stride=[2, 1], ceil_mode=True)
    layer("MaxPool2d/dilated", x, kernel_size=2, stride=1, dilation=2)
    layer("AvgPool2d/inside", x, kernel_size=3, stride=2, padding=1, count_include_pad=False)
    for name in ("MaxPool1d", "AvgPool1d"):
        layer(f"{name}/plain", line, kernel_size=2)
        layer(f"{name}/strided", line, kernel_size=3, stride=2, padding=1)
        layer(f"{name}/ceil", line, kernel_size=4, stride=3, ceil_mode=True)
    for size in (1, [3, 2], [4, 5]):
        layer(f"AdaptiveAvgPool2d/{str(size).replace(', ', 'x')}", x, output_size=size)


def functions():
    def function(id, *inputs, **options):
        name = id.split("/")[0]
        run = lambda _, *x: getattr(F, name)(*x, **options)
        record(id, name, lambda _: None, inputs, options, run=run)

    zeros = torch.tensor([[3.0, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=F64)
    for p in (1.0, 2.0, 3.0):
        function(f"normalize/p_{p}", normal(3, 4), p=p, dim=1)
    function("normalize/zeros", zeros, p=2.0, dim=1)
    function("normalize/first", normal(3, 4), p=2.0, dim=0, eps=3.0)
    for p in (1.0, 2.0, 3.0):
        function(f"pairwise_distance/p_{p}", normal(3, 4), normal(3, 4), p=p, eps=1e-6)
    for dim in (0, 1, -1):
        function(f"cosine_similarity/dim_{dim}", normal(3, 4), normal(3, 4), dim=dim, eps=1e-8)
    layer("Identity/any", normal(2, 3))
    layer("Identity/vector", normal(4))
    layer("Identity/image", normal(1, 2, 3, 2))
    layer("Flatten/all", normal(2, 3, 4))
    layer("Flatten/image", normal(2, 1, 3, 2))
    layer("Flatten/flat", normal(3, 4))
    layer("Unflatten/last", normal(2, 6), dim=1, unflattened_size=(2, 3))
    layer("Unflatten/free", normal(6, 2), dim=-2, unflattened_size=(3, -1))
    layer("Unflatten/one", normal(2, 6), dim=1, unflattened_size=(6,))


def main():
    deterministic()
    activations()
    normalizations()
    embeddings()
    attentions()
    transformers()
    functions()
    convolutions()
    emit("layers", tensors, cases, torch=torch.__version__)


if __name__ == "__main__":
    main()
