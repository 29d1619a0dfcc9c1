"""JAX's side of `examples/step_time --serve`, the whole step under `jit`; the protocol is in `servers.py`.

    python benches/peers/jax_steps.py WORKLOAD --data DIR --threads N
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("workload")
parser.add_argument("--data", type=pathlib.Path, required=True)
parser.add_argument("--threads", type=int, required=True)
options = parser.parse_args()
# XLA's pool has as many threads as the process may use processors.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

def linear(p, name, x):
    y = x @ p[f"{name}.weight"].T
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def conv(p, name, x, stride=1, padding=0):
    w = p[f"{name}.weight"]
    pad = [(padding, padding)] * 2
    y = lax.conv_general_dilated(x, w, (stride, stride), pad, dimension_numbers=("NCHW", "OIHW", "NCHW"))
    return y + p[f"{name}.bias"][:, None, None] if f"{name}.bias" in p else y


def max_pool(x, kernel_size, stride=None, padding=0):
    window, strides = (1, 1, kernel_size, kernel_size), (1, 1, *[stride or kernel_size] * 2)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, [(0, 0)] * 2 + [(padding, padding)] * 2)


def sequence(layers):
    def forward(p, x, state):
        for i, layer in enumerate(layers):
            match layer:
                case {"type": "Conv2d"}:
                    x = conv(p, f"{i}", x, layer.get("stride", 1), layer.get("padding", 0))
                case {"type": "Linear"}:
                    x = linear(p, f"{i}", x)
                case {"type": "MaxPool2d"}:
                    x = max_pool(x, **{key: value for key, value in layer.items() if key != "type"})
                case {"type": "ReLU"}:
                    x = jax.nn.relu(x)
                case {"type": "Flatten"}:
                    x = x.reshape(len(x), -1)
        return x, state

    return forward


def batch_norm(p, name, x, state):
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    n = x.size / x.shape[1]
    state = dict(state)
    state[f"{name}.running_mean"] = 0.9 * state[f"{name}.running_mean"] + 0.1 * mean
    state[f"{name}.running_var"] = 0.9 * state[f"{name}.running_var"] + 0.1 * var * n / (n - 1)
    scale = p[f"{name}.weight"] * lax.rsqrt(var + 1e-5)
    return (x - mean[:, None, None]) * scale[:, None, None] + p[f"{name}.bias"][:, None, None], state


def resnet18(p, x, state):
    x, state = batch_norm(p, "bn1", conv(p, "conv1", x, 1, 1), state)
    x = jax.nn.relu(x)
    for stage in range(1, 5):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y, state = batch_norm(p, f"{name}.bn1", conv(p, f"{name}.conv1", x, stride, 1), state)
            y, state = batch_norm(p, f"{name}.bn2", conv(p, f"{name}.conv2", jax.nn.relu(y), 1, 1), state)
            if f"{name}.downsample.0.weight" in p:
                x = conv(p, f"{name}.downsample.0", x, stride)
                x, state = batch_norm(p, f"{name}.downsample.1", x, state)
            x = jax.nn.relu(x + y)
    return linear(p, "fc", x.mean((2, 3))), state


def layer_norm(p, name, x):
    centred = x - x.mean(-1, keepdims=True)
    y = centred * lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return y * p[f"{name}.weight"] + p[f"{name}.bias"]


def gpt(p, x, state, layers=4, heads=4):
    n, length = x.shape
    x = p["wte.weight"][x] + p["wpe.weight"][:length]
    width = x.shape[-1]
    causal = jnp.tril(jnp.ones((length, length), bool))
    for i in range(layers):
        qkv = linear(p, f"h.{i}.attn.c_attn", layer_norm(p, f"h.{i}.ln_1", x))
        q, k, v = qkv.reshape(n, length, 3, heads, width // heads).transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) / jnp.sqrt(width // heads)
        y = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf)) @ v
        x = x + linear(p, f"h.{i}.attn.c_proj", y.transpose(0, 2, 1, 3).reshape(n, length, width))
        y = jax.nn.gelu(linear(p, f"h.{i}.mlp.c_fc", layer_norm(p, f"h.{i}.ln_2", x)), approximate=False)
        x = x + linear(p, f"h.{i}.mlp.c_proj", y)
    return layer_norm(p, "ln_f", x).reshape(-1, width) @ p["wte.weight"].T, state


def sgd(lr, momentum=0.0):
    def update(p, g, m, step):
        if momentum == 0.0:
            return p - lr * g, m
        m = (momentum * m[0] + g,)
        return p - lr * m[0], m

    return update, 0 if momentum == 0.0 else 1


def adamw(lr, weight_decay=0.01, b1=0.9, b2=0.999, eps=1e-8):
    def update(p, g, m, step):
        a, b = b1 * m[0] + (1 - b1) * g, b2 * m[1] + (1 - b2) * g * g
        c1, c2 = 1 - b1**step, 1 - b2**step
        p = p * (1 - lr * weight_decay) - lr / c1 * a / (jnp.sqrt(b / c2) + eps)
        return p, (a, b)

    return update, 2


def adam(lr):
    return adamw(lr, weight_decay=0.0)


MODELS = {"gpt": gpt, "resnet18": resnet18}
# The update of a parameter, and how many moments it keeps.
OPTIMIZERS = {"SGD": sgd, "Adam": adam, "AdamW": adamw}


def main():
    print("imported", flush=True)
    sys.stdin.readline()
    file = lambda ending: options.data / f"{options.workload}.{ending}"
    network = json.loads(file("json").read_text())
    forward = sequence(network["layers"]) if "layers" in network else MODELS[network["model"]]
    settings = network["optimizer"]
    update, moments = OPTIMIZERS[settings.pop("type")](**settings)
    batches = load_file(file("batches.safetensors"))
    xs, ys = (list(map(jnp.array, batches[part])) for part in ("inputs", "targets"))
    weights = load_file(file("weights.safetensors"))
    weights.pop("lm_head.weight", None)  # tied
    is_state = lambda key: "running" in key or "num_batches" in key

    def loss_of(p, x, y, state):
        logits, state = forward(p, x, state)
        logs = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(logs, y[:, None], 1).mean(), state

    @jax.jit
    def train(p, m, state, x, y, step):
        (loss, state), g = jax.value_and_grad(loss_of, has_aux=True)(p, x, y, state)
        new = {key: update(p[key], g[key], m[key], step) for key in p}
        return {k: v[0] for k, v in new.items()}, {k: v[1] for k, v in new.items()}, state, loss

    print("ready", flush=True)
    for line in sys.stdin:
        warm_up, steps = map(int, line.split())
        p = {key: jnp.array(value) for key, value in weights.items() if not is_state(key)}
        state = {key: jnp.array(value) for key, value in weights.items() if is_state(key)}
        m = {key: (jnp.zeros_like(value),) * moments for key, value in p.items()}
        times, losses = [], []
        for number in range(warm_up + steps):
            x, y = xs[number % len(xs)], ys[number % len(xs)]
            start = time.perf_counter()
            p, m, state, loss = train(p, m, state, x, y, number + 1.0)
            jax.block_until_ready((p, loss))
            if number >= warm_up:
                times.append((time.perf_counter() - start) * 1e3)
                losses.append(float(loss))
        print(f"{statistics.median(times):.4f} {statistics.fmean(losses):.6f}", flush=True)


if __name__ == "__main__":
    main()
