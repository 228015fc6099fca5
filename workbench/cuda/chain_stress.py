# SPDX-License-Identifier: Apache-2.0
"""Replay chains of products in CUDA graphs while processors and GPU are busy; compare every bit.

``python chain_stress.py --seconds 60 --processes 6 --burners 8 --json FILE`` starts that many
processes on one GPU, whose contexts take turns on it, and as many that only keep processors busy.
Every other process replays its chains on streams of their own, all at once. Each replay, and each
eager chain beside it, is compared with what the chain gave at first. Exits with 1 at a difference.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

INPUTS = 8


def packed(
    rows: int, cols: int, density: float, dtype: str = "float16", seed: int = 0
) -> Callable[[Any], Any]:
    """Product with a random packed matrix that leaves the size of vectors about as it is."""
    import gossamer
    import torch

    torch.manual_seed(seed)
    W = torch.randn(rows, cols, device="cuda") / (cols * density) ** 0.5
    P = gossamer.compress(W * (torch.rand(rows, cols, device="cuda") < density), dtype=dtype)
    return lambda x: P @ x if x.ndim == 1 else x @ P.T


def sparse(n: int, uneven: bool) -> Callable[[Any], Any]:
    """Product with a random sparse matrix; uneven: one row is full, long enough to be cut."""
    import gossamer
    import torch

    torch.manual_seed(n)
    W = torch.randn(n, n, device="cuda") / (0.02 * n) ** 0.5
    W *= torch.rand(n, n, device="cuda") < 0.02
    if uneven:
        W[7] = torch.randn(n, device="cuda") / n**0.5
    A = gossamer.fromdense(W)
    return lambda x: A @ x


class Chain:
    """Products one after the other, eagerly and in a graph, and what they are to give."""

    def __init__(
        self, name: str, steps: list[Callable[[Any], Any]], shape: tuple[int, ...], dtype: Any
    ) -> None:
        import torch

        self.name, self.steps = name, steps
        self.inputs = [torch.randn(shape, device="cuda").to(dtype) for _ in range(INPUTS)]
        self.x = self.inputs[0].clone()
        self.stream = torch.cuda.Stream()
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self.expected = []
            for x in self.inputs:
                self.x.copy_(x)
                self.expected.append(self.eager())
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.result = self.eager()
        self.compared = 0
        self.differences: list[dict[str, Any]] = []

    def eager(self) -> Any:
        """Results are freed as the chain goes on: a product writes what the last but one read."""
        y = self.x
        for step in self.steps:
            y = step(y)
        return y

    def launch(self, number: int) -> tuple[Any, Any]:
        """Run both with input `number`, on the current stream."""
        self.x.copy_(self.inputs[number])
        eager = self.eager()
        self.graph.replay()
        return eager, self.result.clone()

    def compare(self, number: int, eager: Any, replayed: Any) -> None:
        """Hold both to the bits of the first time."""
        import torch

        self.compared += 1
        word = torch.int16 if eager.element_size() == 2 else torch.int32
        right = self.expected[number].view(word)
        for how, found in (("eager", eager), ("graph", replayed)):
            if not torch.equal(found.view(word), right):
                self.differences.append(self._describe(how, number, found))

    def _describe(self, how: str, number: int, found: Any) -> dict[str, Any]:
        right = self.expected[number]
        places = (found != right).nonzero()
        return {
            "chain": self.name,
            "how": how,
            "comparison": self.compared,
            "elements": len(places),
            "places": places[:20].tolist(),
            "found": found[found != right][:20].tolist(),
            "right": right[found != right][:20].tolist(),
            "input_before": bool((found == self.expected[number - 1]).all()),
        }


def chains() -> list[Chain]:
    """Every kernel of products that may begin early, 516 columns ending in a piece of a load."""
    import torch

    half = torch.float16

    def square(count: int, n: int, density: float, dtype: str = "float16") -> list[Any]:
        return [packed(n, n, density, dtype, seed) for seed in range(count)]

    there_and_back = [(900, 512), (512, 900)] * 3
    steps = [packed(*shape, 0.4, seed=seed) for seed, shape in enumerate(there_and_back)]
    between: list[Callable[[Any], Any]] = [lambda y: y * 0.5]
    grid, long_row = sparse(500, uneven=False), sparse(5000, uneven=True)
    found = [
        Chain("512-900", steps[:3] + between + steps[3:] + between, (512,), half),
        Chain("516 3 bits", square(12, 516, 0.5), (516,), half),
        Chain("516 4 bits", square(12, 516, 0.3), (516,), half),
        Chain("516 8 bits", square(12, 516, 0.1), (516,), half),
        Chain("516 int8", square(6, 516, 0.5, "int8"), (516,), half),
        Chain("516 float32", square(6, 516, 0.5, "float32"), (516,), torch.float32),
        Chain("4096", square(4, 4096, 0.5), (4096,), half),
        Chain("500 sparse", [grid] * 12, (500,), torch.float32),
        Chain("500 sparse, 3 columns", [grid] * 12, (500, 3), torch.float32),
        Chain("5000 sparse, a row cut", [long_row] * 6, (5000,), torch.float32),
    ]
    for vectors in (8, 16, 24, 64):
        found.append(Chain(f"{vectors} vectors", square(6, 648, 0.5), (vectors, 648), half))
    return found


def work(process: int, seconds: float, results: Any) -> None:
    """Replay until the time is up; the odd processes all chains at once."""
    import torch

    torch.manual_seed(1000 + process)
    all_chains = chains()
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number = (number + 1) % INPUTS
        launched = []
        for chain in all_chains:
            with torch.cuda.stream(chain.stream if process % 2 else torch.cuda.current_stream()):
                launched.append(chain.launch(number))
        torch.cuda.synchronize()
        for chain, pair in zip(all_chains, launched, strict=True):
            chain.compare(number, *pair)
    compared = {chain.name: chain.compared for chain in all_chains}
    results.put((compared, [d for chain in all_chains for d in chain.differences]))


def burn(end: float) -> None:
    """Keep a processor busy."""
    while time.monotonic() < end:
        sum(range(10_000))


def main() -> None:
    """Start the processes and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--burners", type=int, default=8)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=work, args=(i, arguments.seconds, results))
        for i in range(arguments.processes)
    ]
    for worker in workers:
        worker.start()
    burners = [
        context.Process(target=burn, args=(time.monotonic() + 10 + arguments.seconds,))
        for _ in range(arguments.burners)
    ]
    for burner in burners:
        burner.start()
    found = []
    while len(found) < len(workers):
        if not results.empty():
            found.append(results.get())
        elif all(worker.exitcode is not None for worker in workers):
            break
        else:
            time.sleep(0.2)
    for process in workers + burners:
        process.join()
    failed = len(workers) - len(found)

    from gossamer.cli.bench.device.graphs import describe_gpu
    from gossamer.cli.machine import source_commit

    differences = [difference for _, of_one in found for difference in of_one]
    report = {
        "commit": source_commit(),
        "machine": describe_gpu(),
        "seconds": arguments.seconds,
        "processes": arguments.processes,
        "burners": arguments.burners,
        "processes_failed": failed,
        "replays": {name: sum(c[name] for c, _ in found) for name in found[0][0]} if found else {},
        "differences": differences[:50],
        "different": len(differences),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report))
    sys.exit(1 if differences or failed else 0)


if __name__ == "__main__":
    main()
