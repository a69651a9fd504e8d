"""What a soft threshold costs beside a ReLU, the textbook formula and a copy.

Every contestant runs in one process with one torch thread (``--threads``), interleaved over
rounds; each figure is the median over rounds of process CPU time, each ratio the median of the
per-round ratios with its quartiles. Writes a JSON file beside the printed table.

    python benchmarks/bench_soft_threshold.py [--rounds 15] [--output results/]
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sklearn_drsn.functional import mean_magnitude, soft_threshold

SHAPES = [(64, 64, 1024), (128, 16, 512)]
# (what, numerator, denominator, bound, shapes it is asked at)
BARS = [
    ("forward: ours / copy", ("forward", "ours"), ("forward", "copy"), "at most 4", (0, 1)),
    ("both: ours / ReLU", ("both", "ours"), ("both", "ReLU"), "at most 4", (0, 1)),
    ("both: textbook / ours", ("both", "textbook"), ("both", "ours"), "at least 5", (0,)),
    ("both: textbook / ours", ("both", "textbook"), ("both", "ours"), "at least 1.3", (1,)),
    ("both: compiled / ReLU", ("both", "compiled"), ("both", "ReLU"), "at most 2", (0, 1)),
]

Pair = tuple[str, str]


def textbook(x: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    return torch.sign(x) * torch.relu(x.abs() - threshold)


def contestants() -> dict[str, Callable]:
    return {
        "copy": lambda x, threshold: x.clone(),
        "ReLU": lambda x, threshold: torch.relu(x),
        "textbook": textbook,
        "ours": soft_threshold,
        "compiled": torch.compile(soft_threshold, dynamic=False),
    }


def cpu_milliseconds(call: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats * 1e3


def forward_and_backward(function: Callable, x, threshold, gradient) -> Callable[[], object]:
    def call():
        x.grad = threshold.grad = None
        function(x, threshold).backward(gradient)

    return call


def measure(shape: tuple[int, ...], rounds: int, repeats: int) -> dict[Pair, list[float]]:
    """CPU milliseconds of every contestant in every round."""
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(shape, generator=generator)
    gradient = torch.randn(shape, generator=generator)
    share = torch.rand((*shape[:2], 1), generator=generator)
    level = mean_magnitude(data, (2,)) * share
    x, threshold = data.clone().requires_grad_(), level.clone().requires_grad_()
    calls: dict[Pair, Callable[[], object]] = {}
    for name, function in contestants().items():
        calls["forward", name] = lambda function=function: function(data, level)
        calls["both", name] = forward_and_backward(function, x, threshold, gradient)
    for call in calls.values():  # compiles, and warms the allocator
        cpu_milliseconds(call, 3)
    times: dict[Pair, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            times[key].append(cpu_milliseconds(call, repeats))
    return times


def ratio(times: dict[Pair, list[float]], over: Pair, under: Pair) -> tuple[float, float, float]:
    """First quartile, median and third quartile of the ratio per round."""
    ratios = [a / b for a, b in zip(times[over], times[under], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return low, middle, high


def met(value: float, bound: str) -> bool:
    limit = float(bound.rsplit(" ", 1)[1])
    return value <= limit if bound.startswith("at most") else value >= limit


def report(index: int, times: dict[Pair, list[float]]) -> list[dict]:
    print(f"\nshape {SHAPES[index]}, float32, CPU ms (median)")
    print(f"{'':10s}{'forward':>10s}{'both':>10s}")
    for name in contestants():
        middles = (statistics.median(times[kind, name]) for kind in ("forward", "both"))
        print(f"{name:10s}" + "".join(f"{middle:10.3f}" for middle in middles))
    rows = []
    for what, over, under, bound, shapes in BARS:
        if index in shapes:
            low, middle, high = ratio(times, over, under)
            verdict = "met" if met(middle, bound) else "MISSED"
            print(f"{what:24s}{middle:7.2f} [{low:.2f}, {high:.2f}]  bar {bound}: {verdict}")
            rows.append({"what": what, "ratio": [low, middle, high], "bar": bound})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=10, help="calls per round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    setting = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "seed": 0,
    }
    print("  ".join(f"{key} {value}" for key, value in setting.items()))
    results = []
    for index, shape in enumerate(SHAPES):
        times = measure(shape, arguments.rounds, arguments.repeats)
        rows = report(index, times)
        medians = {" ".join(key): statistics.median(value) for key, value in times.items()}
        results.append({"shape": shape, "cpu_ms": medians, "ratios": rows})
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "soft_threshold.json"
    path.write_text(json.dumps({"setting": setting, "results": results}, indent=1))
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()
