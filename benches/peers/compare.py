"""Times a training step of `mnist_mlp` in Gradus and in PyTorch, side by side.

    cargo build --release --example step_time
    python benches/peers/compare.py

Both programs stay alive and take turns, a block of steps at a time, so that whatever else the
machine does falls on both alike. The ratio is taken within each round; its median is the result,
and its range says how far to trust it. Prints a markdown table.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
GRADUS = HERE.parents[1] / "target" / "release" / "examples" / "step_time"
# An idle OpenMP team spins for up to 0.2 s before it sleeps, and would take the other's processors.
SETTLE = 0.3


class Server:
    """A program that answers `OPTIMIZER STEPS` with the median milliseconds per step."""

    def __init__(self, name, *command):
        self.name = name
        try:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            sys.exit(f"{name}: cannot start {command[0]}: {error.strerror}")
        if (line := self.read()) != "ready":
            sys.exit(f'{name}: expected "ready", not "{line}"')

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with exit code {self.process.wait()}")
        return line.strip()

    def milliseconds(self, optimizer, steps):
        time.sleep(SETTLE)
        self.process.stdin.write(f"{optimizer} {steps}\n")
        self.process.stdin.flush()
        return float(self.read())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description="A training step in Gradus and in PyTorch.")
    parser.add_argument("--gradus", type=pathlib.Path, default=GRADUS, metavar="STEP_TIME")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=100, help="steps in a block")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    options = ["--serve", "--threads", arguments.threads]
    torch = Server("PyTorch", sys.executable, HERE / "mnist_mlp.py", *options)
    gradus = Server("Gradus", arguments.gradus, *options)

    print(f"{arguments.threads} threads, {arguments.rounds} rounds of {arguments.steps} steps\n")
    print("| optimizer | Gradus, ms | PyTorch, ms | Gradus / PyTorch | range |")
    print("|---|---|---|---|---|")
    for optimizer in ("sgd", "adam"):
        times = {torch: [], gradus: []}
        for round in range(arguments.rounds + 1):
            # Neither always follows the other, and the first round is a warm-up.
            for server in (torch, gradus) if round % 2 else (gradus, torch):
                milliseconds = server.milliseconds(optimizer, arguments.steps)
                if round > 0:
                    times[server].append(milliseconds)
        ratios = [ours / theirs for ours, theirs in zip(times[gradus], times[torch], strict=True)]
        print(
            f"| {optimizer} | {statistics.median(times[gradus]):.3f} "
            f"| {statistics.median(times[torch]):.3f} | {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f}–{max(ratios):.2f} |",
            flush=True,
        )
    for server in (torch, gradus):
        server.close()


if __name__ == "__main__":
    main()
