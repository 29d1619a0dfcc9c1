"""Times training steps in Gradus and in other frameworks, side by side, and prints markdown tables.

    python benches/peers/compare.py --data WORK --peers torch torch-compile jax burn candle
    python benches/peers/compare.py --data WORK --set cnns --peers torch jax
    python benches/peers/compare.py --data WORK --set curves --peers
    python benches/peers/compare.py --data WORK --workloads cnn-07 'mlp-width@*' --peers torch

All programs stay alive and take turns, a block of steps at a time, so that whatever else the machine does
falls on all alike. Every block starts from the same weights and sees the same batches, and the losses must
agree, or the table says so and the program fails. Ratios are taken within each round; their median is the
result, and the range says how far to trust it. Columns:

* `floor`: the time that the float operations of a step's products and convolutions would take at the peak of
  the machine, multiply-adds in registers on as many threads, the best that was seen in the run; `share`: the
  floor divided by Gradus's time.
* `barrier`: what a fork and a join of the threads cost, median over the rounds. The machines have two modes.
* memory: the peak of the process; for a peer, also what is above the import of its libraries.
"""

import argparse
import fnmatch
import json
import pathlib
import random
import statistics
import sys

import machine
from servers import GRADUS, PEERS, Machine, Server

# How far mean losses may be apart, relative to the larger.
LOSSES = 0.02
# Written by hand, layer by layer, for sequences only.
SEQUENCES_ONLY = {"burn", "candle"}


class Result:
    """A workload measured: times in milliseconds, one for each round, and memory in megabytes."""

    def __init__(self, name, network, options, meter):
        self.name, self.network, self.meter = name, network, meter
        peers = [p for p in options.peers if "layers" in network or p not in SEQUENCES_ONLY]
        commands = {"Gradus": GRADUS} | {peer: PEERS[peer] for peer in peers}
        servers = [
            Server(key, command(name), options.data, options.threads) for key, command in commands.items()
        ]
        self.times, self.barriers, self.disagreements = {key: [] for key in commands}, [], []
        # The first round compiles, and says how many steps fit into a block.
        slowest = max(milliseconds for milliseconds, _ in self.round(servers, 2, 3).values())
        steps = max(4, min(options.steps, int(options.seconds * 1e3 / slowest)))
        order = random.Random(0)
        for _ in range(options.rounds):
            order.shuffle(servers)  # None always follows another.
            answers = self.round(servers, min(16, steps), steps)
            for key, (milliseconds, _) in answers.items():
                self.times[key].append(milliseconds)
        self.memory = {server.name: server.megabytes() for server in servers}
        self.net = {server.name: server.megabytes() - server.imported for server in servers}
        for server in servers:
            server.close()

    def round(self, servers, warm_up, steps):
        """The answers of all; notes whose losses disagree."""
        self.barriers.append(self.meter.barrier())
        answers = {server.name: tuple(server.ask(f"{warm_up} {steps}")) for server in servers}
        own = answers["Gradus"][1]
        for peer, (_, loss) in answers.items():
            if not abs(own - loss) <= LOSSES * max(abs(own), abs(loss), 1e-3):
                self.disagreements.append(f"{self.name}: mean loss {own} in Gradus, {loss} in {peer}")
        return answers

    def ratios(self, peer):
        """How many times faster than the peer, in each round."""
        return [b / a for a, b in zip(self.times["Gradus"], self.times[peer], strict=True)]

    @property
    def peers(self):
        return [key for key in self.times if key != "Gradus"]

    def median(self, key="Gradus"):
        return statistics.median(self.times[key])

    def floor(self):
        return self.network["operations"] / self.meter.gflops / 1e6

    def share(self):
        return f"{100 * self.floor() / self.median():.0f}%"

    def barrier(self):
        return f"{statistics.median(self.barriers):.0f}"


def row(*cells):
    return "| " + " | ".join(map(str, cells)) + " |\n"


def header(*cells):
    return row(*cells) + "|" + "---|" * len(cells) + "\n"


def six(results):
    """Workload by workload and peer by peer."""
    table = header(
        "workload", "peer", "Gradus, ms", "peer, ms", "peer / Gradus", "range", "floor, ms", "share",
        "barrier, ns", "Gradus, MB", "peer, MB", "peer without import, MB",
    )  # fmt: skip
    for result in results:
        own = f"{result.median():.3f}"
        limits = f"{result.floor():.3f}", result.share(), result.barrier()
        memory, net = result.memory, result.net
        for peer in result.peers:
            ratios = result.ratios(peer)
            times = own, f"{result.median(peer):.3f}", f"{statistics.median(ratios):.2f}"
            spread = f"{min(ratios):.2f}–{max(ratios):.2f}"
            megabytes = (f"{number:.0f}" for number in (memory["Gradus"], memory[peer], net[peer]))
            table += row(result.name, peer, *times, spread, *limits, *megabytes)
        if not result.peers:
            table += row(result.name, "–", own, *"–––", *limits, f"{memory['Gradus']:.0f}", *"––")
    return table


def cnns(results):
    """Against the fastest peer of each network, and over all networks."""
    if not results[0].peers:
        return six(results)
    table = header(
        "network", "layers", "batch", "Gradus, ms", "fastest peer", "its ms", "peer / Gradus", "floor, ms",
        "share", "barrier, ns",
    )  # fmt: skip
    best = []
    for result in results:
        peer = min(result.peers, key=result.median)
        best.append(statistics.median(result.ratios(peer)))
        table += row(
            result.name, layers(result.network), "×".join(map(str, result.network["input"])),
            f"{result.median():.3f}", peer, f"{result.median(peer):.3f}", f"{best[-1]:.2f}",
            f"{result.floor():.3f}", result.share(), result.barrier(),
        )  # fmt: skip
    slower = sum(ratio < 1 for ratio in best)
    median = f"median {statistics.median(best):.2f}, minimum {min(best):.2f}"
    return table + f"\nOver {len(best)} networks: {median}; slower than the fastest peer in {slower}.\n"


def layers(network):
    """Such as `24c5s2p1 m2s2p0 / 64 10`: channels, kernel, stride, padding; pooling; linear layers."""

    def short(layer):
        around = lambda stride: f"s{layer.get('stride', stride)}p{layer.get('padding', 0)}"
        match layer["type"]:
            case "Conv2d":
                return f"{layer['out_channels']}c{layer['kernel_size']}{around(1)}"
            case "MaxPool2d":
                return f"m{layer['kernel_size']}{around(layer['kernel_size'])}"
            case "Linear":
                return str(layer["out_features"])
            case "Flatten":
                return "/"

    return " ".join(filter(None, map(short, network.get("layers", []))))


def curves(results):
    """Size by size. `growth` is that of the time since the size before, divided by that of the work."""
    table = header("curve", "size", "10⁶ operations", "ms", "floor, ms", "share", "growth", "barrier, ns", "MB")
    before = None
    for result in results:
        curve, _, size = result.name.partition("@")
        growth = "–"
        if before and before.name.startswith(f"{curve}@"):
            work = result.network["operations"] / before.network["operations"]
            growth = f"{result.median() / before.median() / work:.2f}"
        table += row(
            curve, size, f"{result.network['operations'] / 1e6:.1f}", f"{result.median():.3f}",
            f"{result.floor():.3f}", result.share(), growth, result.barrier(), f"{result.memory['Gradus']:.0f}",
        )  # fmt: skip
        before = result
    return table


# The patterns of a set's names, and what makes its table.
SETS = {
    "six": (["mnist_cnn", "mnist_mlp", "mnist_mlp_adam", "cifar_cnn", "gpt", "resnet18"], six),
    "cnns": (["cnn-[0-9]*"], cnns),
    "curves": (["*@*"], curves),
}


def selected(folder, patterns):
    """Networks by name, curves in the order of their sizes."""
    networks = {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")}
    order = lambda name: (name.split("@")[0], networks[name].get("size", 0))
    names = []
    for pattern in patterns:
        found = sorted(fnmatch.filter(networks, pattern), key=order)
        if not found:
            sys.exit(f"no workload {pattern} in {folder}; workloads.py writes them")
        names += found
    return {name: networks[name] for name in names}


def main():
    parser = argparse.ArgumentParser(description="A training step in Gradus and elsewhere.")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="from workloads.py")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=["torch"])
    parser.add_argument("--set", choices=SETS, default="six")
    parser.add_argument("--workloads", nargs="+", metavar="PATTERN", help="instead of a set")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=200, help="in a block, at most")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a block, for the slowest")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path, help="a file for the tables, beside the standard output")
    options = parser.parse_args()

    patterns, table = SETS[options.set]
    networks = selected(options.data, options.workloads or patterns)
    meter = Machine(options.threads)
    results = []
    for name, network in networks.items():
        results.append(Result(name, network, options, meter))
        print(f"{name}: {results[-1].median():.3f} ms", file=sys.stderr)
    text = f"{machine.describe()}\n\n{options.threads} threads, {options.rounds} rounds; "
    text += f"peak {meter.gflops:.0f} GFLOP/s.\n\n{table(results)}"
    meter.close()
    disagreements = [line for result in results for line in result.disagreements]
    if disagreements:
        text += "\nNot to be used, because losses disagree:\n\n* " + "\n* ".join(disagreements) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)
    sys.exit(1 if disagreements else 0)


if __name__ == "__main__":
    main()
