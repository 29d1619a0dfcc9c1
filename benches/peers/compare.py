"""Times training steps in Gradus and in other frameworks, side by side.

    cargo build --release --example step_time
    python benches/peers/workloads.py --mnist DIR --cifar DIR --text FILE --out WORK
    python benches/peers/compare.py --data WORK [--peers torch torch-compile jax] [--workloads cifar_cnn …]

All programs stay alive and take turns, a block of steps at a time, so that whatever else the machine
does falls on all alike. Every block starts from the same weights and sees the same batches, and the
losses must agree. Ratios are taken within each round; the median is the result, and the range says how
far to trust it. Memory is the peak of each process. Prints a markdown table.
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
STEPS = {"resnet18": 4, "gpt": 30}
WORKLOADS = ["mnist_cnn", "mnist_mlp", "mnist_mlp_adam", "cifar_cnn", "gpt", "resnet18"]
# Which script, with which options.
PEERS = {
    "torch": ["torch_steps.py"],
    "torch-compile": ["torch_steps.py", "--compile"],
    "jax": ["jax_steps.py"],
}
# How far mean losses may be apart, relative to the larger.
LOSSES = 0.02


class Server:
    """A program that answers `STEPS` with the median milliseconds per step and the mean loss."""

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

    def block(self, steps):
        time.sleep(SETTLE)
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        milliseconds, loss = self.read().split()
        return float(milliseconds), float(loss)

    def megabytes(self):
        """Peak resident memory."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1000

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description="A training step in Gradus and elsewhere.")
    parser.add_argument("--gradus", type=pathlib.Path, default=GRADUS, metavar="STEP_TIME")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="from workloads.py")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=["torch"])
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=100, help="in a block; fewer for the large ones")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    print(f"{options.threads} threads, {options.rounds} rounds\n")
    print("| workload | peer | Gradus, ms | peer, ms | peer / Gradus | range | Gradus, MB | peer, MB |")
    print("|---|---|---|---|---|---|---|---|")
    for workload in options.workloads:
        common = ["--data", options.data, "--threads", options.threads]
        gradus = Server("Gradus", options.gradus, "--serve", workload, *common)
        peers = [
            Server(peer, sys.executable, HERE / PEERS[peer][0], workload, *common, *PEERS[peer][1:])
            for peer in options.peers
        ]
        steps = min(options.steps, STEPS.get(workload, options.steps))
        servers = [gradus, *peers]
        times = {server: [] for server in servers}
        for round in range(options.rounds + 1):
            # None always follows another, and the first round is a warm-up.
            turn = round % len(servers)
            losses = {}
            for server in servers[turn:] + servers[:turn]:
                milliseconds, losses[server] = server.block(steps)
                if round > 0:
                    times[server].append(milliseconds)
            for peer in peers:
                apart = abs(losses[gradus] - losses[peer]) / max(abs(losses[peer]), 1e-3)
                if apart > LOSSES:
                    sys.exit(
                        f"{workload}: mean loss {losses[gradus]} in Gradus, {losses[peer]} in {peer.name}"
                    )
        for peer in peers:
            ratios = [b / a for a, b in zip(times[gradus], times[peer], strict=True)]
            print(
                f"| {workload} | {peer.name} | {statistics.median(times[gradus]):.3f} "
                f"| {statistics.median(times[peer]):.3f} | {statistics.median(ratios):.2f} "
                f"| {min(ratios):.2f}–{max(ratios):.2f} | {gradus.megabytes():.0f} | {peer.megabytes():.0f} |",
                flush=True,
            )
        for server in servers:
            server.close()


if __name__ == "__main__":
    main()
