"""Times a whole job, from the start of the process to the trained and evaluated model: `mnist_cnn` on MNIST,
loading and normalisation included, in Gradus and in PyTorch with its DataLoader and torchvision's transforms.

    cargo build --release
    python benches/peers/end_to_end.py --data DIR [--rounds 3] [--epochs 3] [--threads 2]

DIR holds MNIST's four files, gzipped or not. The programs take turns; times are medians, ratios are taken
within each round. Memory is the peak of the program's largest process.
"""

import argparse
import gzip
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import machine
from servers import HERE, ROOT, SETTLE, built

FILES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


def unpack(source, root):
    """Puts the files where both look for them, as torchvision does when it has downloaded them."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in FILES:
        plain, packed = source / name, source / f"{name}.gz"
        with open(plain, "rb") if plain.exists() else gzip.open(packed, "rb") as file:
            (raw / name).write_bytes(file.read())


def run(command, threads):
    """Seconds, peak megabytes and the output of a program."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} ended with exit code {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1000, output


class Jobs:
    """What is timed. Each gives seconds, megabytes and the accuracy on the test images in percent."""

    def __init__(self, root, options):
        self.root, self.threads = root, options.threads
        self.common = ["--epochs", options.epochs, "--threads", options.threads]

    def gradus(self):
        folder = self.root / "run"
        shutil.rmtree(folder, ignore_errors=True)
        command = [built(ROOT, "gradus"), "train", HERE / "mnist_cnn.toml", "--data-dir", self.root]
        seconds, megabytes, _ = run([*command, *self.common, "--quiet", "--out", folder], self.threads)
        metrics = json.loads((folder / "metrics.json").read_text())
        return seconds, megabytes, 100 * metrics["test"]["accuracy"]

    def torch(self, workers):
        command = [sys.executable, HERE / "torch_job.py", "--data", self.root, "--workers", workers]
        seconds, megabytes, accuracy = run([*command, *self.common], self.threads)
        return seconds, megabytes, float(accuracy)


def main():
    parser = argparse.ArgumentParser(description="A whole job in Gradus and in PyTorch.")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="MNIST's four files")
    for name, default in {"rounds": 3, "epochs": 3, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        unpack(options.data, pathlib.Path(root))
        jobs = Jobs(pathlib.Path(root), options)
        programs = {
            "Gradus": jobs.gradus,
            "PyTorch, no loader workers": lambda: jobs.torch(0),
            "PyTorch, 2 loader workers": lambda: jobs.torch(2),
        }
        results = {name: [] for name in programs}
        for _ in range(options.rounds):
            for name, program in programs.items():
                time.sleep(SETTLE)
                results[name].append(program())
                print(f"{name}: {results[name][-1][0]:.1f} s", file=sys.stderr)

    print(f"{machine.describe()}\n\n{options.threads} threads, {options.epochs} epochs, {options.rounds} rounds.\n")
    print("| job | s | times Gradus's | MB | test accuracy |\n|---|---|---|---|---|")
    for name, result in results.items():
        seconds, megabytes, accuracies = zip(*result)
        ratio = statistics.median(b / a for (a, *_), b in zip(results["Gradus"], seconds))
        accuracy = f"{statistics.fmean(accuracies):.2f}%"
        print(f"| {name} | {statistics.median(seconds):.2f} | {ratio:.2f} | {max(megabytes):.0f} | {accuracy} |")


if __name__ == "__main__":
    main()
