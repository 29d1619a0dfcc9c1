"""Checks that a saved model means the same outside Gradus: same weights, same logits.

    gradus eval RUN --logits LOGITS
    python tests/interop/check_safetensors.py RUN LOGITS

`RUN/model.safetensors` is the model: a `Sequential` that flattens its input and then alternates
`Linear` and ReLU, so that its tensors are named `1.weight`, `1.bias`, `3.weight` … `LOGITS` is a
safetensors file with the `inputs` [n, …] and Gradus's `logits` [n, classes]. Where PyTorch is
installed, the weights go through `safetensors.torch.load_file` and `load_state_dict` into the same
module; elsewhere NumPy, a hundredth of the download, computes the forward pass.
"""

import argparse
import importlib.util
import pathlib
import sys

TOLERANCE = 1e-5


def linear_layers(state):
    """The positions of the Linear layers in the Sequential, in order."""
    positions = sorted(int(key.removesuffix(".weight")) for key in state if key.endswith(".weight"))
    expected = {f"{i}.{kind}" for i in positions for kind in ("weight", "bias")}
    if not positions or set(state) != expected:
        sys.exit(f"not the keys of a Sequential of Linear layers: {', '.join(sorted(state))}")
    return positions


def forward_torch(model, inputs):
    import torch
    from safetensors.torch import load_file
    from torch import nn

    state = load_file(model)
    layers = linear_layers(state)
    modules = [nn.Identity() for _ in range(layers[-1] + 1)]
    modules[0] = nn.Flatten()
    for position in layers:
        width_out, width_in = state[f"{position}.weight"].shape
        modules[position] = nn.Linear(width_in, width_out)
    for position in layers[:-1]:
        modules[position + 1] = nn.ReLU()
    sequential = nn.Sequential(*modules).eval()
    sequential.load_state_dict(state)
    # In double precision, so that the difference is Gradus's rounding alone.
    with torch.no_grad():
        return sequential.double()(torch.from_numpy(inputs).double()).numpy()


def forward_numpy(model, inputs):
    import numpy as np
    from safetensors.numpy import load_file

    state = load_file(model)
    layers = linear_layers(state)
    state = {key: tensor.astype(np.float64) for key, tensor in state.items()}
    x = inputs.reshape(len(inputs), -1).astype(np.float64)
    for position in layers:
        x = x @ state[f"{position}.weight"].T + state[f"{position}.bias"]
        if position != layers[-1]:
            x = np.maximum(x, 0)
    return x


def main():
    parser = argparse.ArgumentParser(description="Compares Gradus's logits with another library's.")
    parser.add_argument("run", type=pathlib.Path, help="a run folder")
    parser.add_argument("logits", type=pathlib.Path, help="what `gradus eval --logits` wrote")
    arguments = parser.parse_args()

    import numpy as np
    from safetensors.numpy import load_file

    has_torch = importlib.util.find_spec("torch") is not None
    forward, library = (forward_torch, "PyTorch") if has_torch else (forward_numpy, "NumPy")
    probe = load_file(arguments.logits)
    expected = forward(arguments.run / "model.safetensors", probe["inputs"])
    if probe["logits"].shape != expected.shape or not len(expected):
        sys.exit(f"logits of shape {probe['logits'].shape}, {library}'s are {expected.shape}")
    error = np.abs(probe["logits"] - expected).max()
    print(f"{len(expected)} samples: logits differ from {library}'s by at most {error:.1e}")
    if not error <= TOLERANCE:  # also when it is NaN
        sys.exit(f"more than the {TOLERANCE:.0e} that rounding explains")


if __name__ == "__main__":
    main()
