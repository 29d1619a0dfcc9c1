"""The programs that train beside each other, and how they are asked.

A server is started with a workload, the folder of the workloads' files and a number of threads. It prints
`imported` once its libraries are, waits for a line, loads the workload and prints `ready`. Then it answers
each line `WARM_UP STEPS` with `MILLISECONDS LOSS`: the median time of a step and the mean loss of STEPS steps
from the initial weights on, after WARM_UP that are not counted. Step `i` sees batch `i` modulo eight.
"""

import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# An idle OpenMP team spins for up to 0.2 s before it sleeps, and would take the other's processors.
SETTLE = 0.3


def built(workspace, program):
    """Where cargo puts a program of a workspace."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", workspace / "target"))
    return target / "release" / program


STEP_TIME = built(ROOT, "examples/step_time")
GRADUS = lambda workload: [STEP_TIME, "--serve", workload]
# The command of each peer, but for --data and --threads.
PEERS = {
    "torch": lambda workload: [sys.executable, HERE / "torch_steps.py", workload],
    "torch-compile": lambda workload: [sys.executable, HERE / "torch_steps.py", "--compile", workload],
    "jax": lambda workload: [sys.executable, HERE / "jax_steps.py", workload],
    "burn": lambda workload: [built(HERE / "rust", "burn_steps"), workload],
    "candle": lambda workload: [built(HERE / "rust", "candle_steps"), workload],
}


class Server:
    """A program that is alive; `imported` is its peak memory when it had its libraries and no workload."""

    def __init__(self, name, command, data, threads):
        self.name = name
        command = [*command, "--data", data, "--threads", threads]
        try:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                # The only way to tell candle; the others are told by --threads.
                env={**os.environ, "RAYON_NUM_THREADS": str(threads)},
            )
        except OSError as error:
            sys.exit(f"{name}: cannot start {command[0]}: {error.strerror}; docs/benchmarks.md says how to build it")
        self.expect("imported")
        self.imported = self.megabytes()
        self.write("load")
        self.expect("ready")

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with exit code {self.process.wait()}")
        return line.strip()

    def expect(self, word):
        if (line := self.read()) != word:
            sys.exit(f'{self.name}: expected "{word}", not "{line}"')

    def write(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def ask(self, line):
        """The two numbers of the answer."""
        time.sleep(SETTLE)
        self.write(line)
        return map(float, self.read().split())

    def megabytes(self):
        """Peak resident memory."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1000

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Machine(Server):
    """Gradus's server that measures the machine."""

    def __init__(self, threads):
        super().__init__("Gradus", GRADUS("machine"), ".", threads)
        self.gflops = 0.0

    def barrier(self):
        """Nanoseconds to fork to all threads and to join them, now; raises `gflops` to the best peak seen."""
        gflops, nanoseconds = self.ask("measure")
        self.gflops = max(self.gflops, gflops)
        return nanoseconds
