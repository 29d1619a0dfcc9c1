"""What a table was measured on: machine and versions.

    python benches/peers/machine.py
"""

import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess

HERE = pathlib.Path(__file__).resolve().parent


def describe():
    """A paragraph of markdown."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    fields = dict(re.findall(r"^(.+?)\s*: (.*)$", cpu, re.MULTILINE))
    flags = [flag for flag in ("avx2", "fma", "avx512f", "amx_tile") if flag in fields.get("flags", "").split()]
    memory = int(re.search(r"MemTotal: *(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) / 2**20
    processor = (
        f"{fields.get('model name', platform.machine())} (family {fields.get('cpu family')}, model "
        f"{fields.get('model')}; {', '.join(flags)}), {len(os.sched_getaffinity(0))} processors"
    )
    system = f"{memory:.0f} GiB, Linux {platform.release()}"
    versions = [f"Gradus {output('git', 'describe', '--always', '--dirty')}", output("rustc", "--version")]
    versions.append(f"Python {platform.python_version()}")
    versions += [f"{name} {python_version(name)}" for name in ("torch", "torchvision", "jax", "numpy")]
    lock = (HERE / "rust" / "Cargo.lock").read_text()
    crate = lambda name: re.search(rf'name = "{name}"\nversion = "(.*)"', lock)[1]
    versions += [f"{name} {crate(name)}" for name in ("burn", "candle-core")]
    load = os.getloadavg()[0]
    return f"Machine: {processor}, {system}, load {load:.1f}. Versions: {', '.join(versions)}."


def python_version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def output(*command):
    try:
        return subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    print(describe())
