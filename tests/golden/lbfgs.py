"""Golden values for the decisions of L-BFGS: functions on which a line search overshoots, brackets,
gets stuck at an end and gives up, from first lengths of all sizes.

`lbfgs.safetensors` holds, for each case, `CASE/steps [steps, n + 2] f64`: after each step the n
parameters, then the loss that the step returned and the number of evaluations so far. `lbfgs.json`
lists the cases: the function, where it starts and the options, of which the others have their
defaults.
"""

import itertools

import torch

from golden import deterministic, emit

STEPS = 3
FUNCTIONS = {
    # Two functions of Moré and Thuente, "Line search algorithms with guaranteed sufficient
    # decrease", 1994; the second times 1000.
    "rational": lambda w: -w / (w * w + 2),
    "quintic": lambda w: 1000 * ((w + 0.004) ** 5 - 2 * (w + 0.004) ** 4),
    "waves": lambda w: 0.1 * w * w + (3 * w).sin(),
    "kink": lambda w: (w * w + 1e-4).sqrt(),
    "exponential": lambda w: w.exp() - 2 * w,
    "rosenbrock": lambda w: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] * w[0]) ** 2,
}
STARTS = {
    "rational": [0.1],
    "quintic": [0.3],
    "waves": [2.0, -3.1],
    "kink": [0.7],
    "exponential": [-2.0, 1.5],
    "rosenbrock": [-1.2, 1.0],
}
WOLFE = dict(line_search_fn="strong_wolfe")
CASES = [
    dict(optimizer="LBFGS", name=f"{function}_{lr:g}_{max_iter}_{max_eval}", problem=function, start=STARTS[function],
         options=dict(lr=lr, max_iter=max_iter, max_eval=max_eval, **WOLFE))
    for function, lr, (max_iter, max_eval) in itertools.product(
        FUNCTIONS, (1e-3, 0.1, 1.0, 10.0, 300.0), ((1, 25), (3, 30), (4, 5))
    )
] + [
    dict(optimizer="LBFGS", name="rosenbrock_fixed", problem="rosenbrock", start=STARTS["rosenbrock"], options=dict(lr=0.1)),
    dict(optimizer="LBFGS", name="exponential_fixed", problem="exponential", start=STARTS["exponential"], options=dict(lr=0.5, history_size=2)),
]


def run(case):
    w = torch.tensor(case["start"], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], **case["options"])

    def closure():
        optimizer.zero_grad()
        loss = FUNCTIONS[case["problem"]](w).sum()
        loss.backward()
        return loss

    rows = []
    for _ in range(STEPS):
        loss = optimizer.step(closure).item()
        evaluations = optimizer.state[w]["func_evals"]
        rows.append([*w.detach().tolist(), loss, evaluations])
    return torch.tensor(rows, dtype=torch.float64)


def main():
    deterministic()
    # Where a loss overflows, PyTorch's search ends in NaN. Gradus's goes on, and is not compared.
    results = [(case, run(case)) for case in CASES]
    results = [(case, steps) for case, steps in results if steps.isfinite().all()]
    tensors = {f"{case['name']}/steps": steps for case, steps in results}
    emit("lbfgs", tensors, [case for case, _ in results], torch=torch.__version__)


if __name__ == "__main__":
    main()
