# SPDX-License-Identifier: Apache-2.0
"""What ``gossamer bench packed --device cuda`` measures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

import gossamer
from gossamer.arrays.torch.cuda import device_matrix
from gossamer.cli.bench.command import INTERRUPTED, matching, until_interrupted
from gossamer.cli.bench.device.graphs import (
    copies_of,
    describe_gpu,
    is_captured,
    microseconds,
    microseconds_in_turns,
    read_microseconds,
)
from gossamer.cli.machine import source_commit
from gossamer.cuda.packed import Parts

SHAPES = ((4096, 4096), (8192, 8192), (11008, 4096), (4096, 11008), (12288, 12288), (28672, 8192))
LARGEST = (49152, 12288)
DENSITIES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
_PEER_DTYPE = {"int8": "float16", "float8_e4m3": "float16"}
_CSR_SHAPES = SHAPES[:2]


class DeviceCase(NamedTuple):
    """One packed product: X has `batch` rows."""

    shape: tuple[int, int]
    density: float
    dtype: str
    batch: int

    @property
    def name(self) -> str:
        """As ``--only`` matches it."""
        rows, cols = self.shape
        return f"{rows}x{cols}/{self.density}/{self.dtype}/{self.batch}"


def device_cases(quick: bool) -> Iterator[DeviceCase]:
    """The cases, those of one matrix together."""
    shapes = SHAPES[:2] if quick else (*SHAPES, LARGEST)
    for shape in shapes:
        for density in DENSITIES:
            for dtype in ("float16", "bfloat16", "float32", "int8", "float8_e4m3"):
                if dtype not in ("float16", "bfloat16") and density not in (0.1, 0.5):
                    continue
                batched = dtype == "float16" and density in (0.1, 0.5) and shape != LARGEST
                for batch in BATCHES if batched else (1,):
                    yield DeviceCase(shape, density, dtype, batch)


class _Suite:
    def __init__(self, say: Callable[[str], None], earlier: Mapping[str, Any] | None) -> None:
        self.say = say
        self.commit = source_commit()
        kept = earlier or {"cases": [], "wrong": [], "notes": []}
        self.cases: list[dict[str, Any]] = list(kept["cases"])
        self.wrong: list[str] = list(kept["wrong"])
        self.notes = [note for note in kept["notes"] if note != INTERRUPTED]
        self._dense: dict[tuple[Any, ...], dict[str, float]] = {}
        self._read: dict[int, float | None] = {}

    def run(self, cases: list[DeviceCase]) -> None:
        measured = {case["name"] for case in self.cases}
        with until_interrupted(self.notes):
            for case in cases:
                if case.name in measured:
                    continue
                self.say(case.name)
                self._measure(case)
                torch.cuda.empty_cache()
        order = {case.name: place for place, case in enumerate(device_cases(quick=False))}
        # Earlier cases that are no longer among them come last.
        self.cases.sort(key=lambda case: order.get(case["name"], len(order)))

    def _measure(self, case: DeviceCase) -> None:
        W = random_mask(case.shape, case.density)
        packed = gossamer.compress(W, dtype=case.dtype)
        x_dtype = _PEER_DTYPE.get(case.dtype, case.dtype)
        x = torch.randn((case.batch, case.shape[1]), device="cuda").to(getattr(torch, x_dtype))
        y = x @ packed.T
        self._check(case, packed, x, y)
        count = copies_of(packed.nbytes)
        copies = [packed, *(gossamer.compress(W, dtype=case.dtype) for _ in range(count - 1))]
        del W
        matrices = [_matrix(copy) for copy in copies]
        us, alone = microseconds_in_turns(
            [
                lambda i: copies[i]._storage.matmul(x, False, True),
                lambda i: matrices[i].matmul(x, False, overlap=False),
            ],
            count,
        )
        arranged = matrices[0].nbytes
        dense = self._dense_peers(case, x_dtype)
        peers = dense | self._csr_peer(case, x) | self._macko_peer(case, x)
        fastest = min(dense, key=lambda name: dense[name])
        read = self._read_limit(arranged) if case.batch == 1 else None
        size = case.shape[0] * case.shape[1]
        self.cases.append(
            {
                "name": case.name,
                "commit": self.commit,
                **case._asdict(),
                "format": packed.format,
                "packed_bytes": packed.nbytes,
                "arranged_bytes": arranged,
                "memory_gain": size * x.itemsize / (arranged or packed.nbytes),
                "us": us,
                "us_alone": alone,
                "peer_us": peers,
                "dense_peer": fastest,
                "dense_speedup": dense[fastest] / us,
                "dense_speedup_alone": dense[fastest] / alone,
                "read_limit_us": read,
                "read_fraction": None if read is None else read / us,
            }
        )

    def _check(self, case: DeviceCase, packed: Any, x: Any, y: Any) -> None:
        exact = x.double() @ packed.decompress("float32").double().T
        moduli = x.double().abs() @ packed.decompress("float32").double().abs().T
        unit = torch.finfo(y.dtype).eps / 2
        gamma = (case.shape[1] + 16) * 2.0**-24
        bound = gamma * moduli + unit * exact.abs() + 2.0**-24
        worst = float(((y.double() - exact).abs() / bound).max())
        if not worst <= 1:
            self.wrong.append(f"{case.name}: error of {worst:.3g} bounds")

    def _dense_peers(self, case: DeviceCase, dtype: str) -> dict[str, float]:
        key = (case.shape, dtype, case.batch)
        if key not in self._dense:
            item = torch.finfo(getattr(torch, dtype)).bits // 8
            count = copies_of(case.shape[0] * case.shape[1] * item)
            options = {"device": "cuda", "dtype": getattr(torch, dtype)}
            weights = [torch.randn(case.shape, **options) for _ in range(count)]
            x = torch.randn((case.batch, case.shape[1]), **options)
            peers = {"linear": microseconds(lambda i: F.linear(x, weights[i]), count)}
            if case.batch == 1:
                peers["mv"] = microseconds(lambda i: torch.mv(weights[i], x[0]), count)
            self._dense[key] = peers
        return self._dense[key]

    def _csr_peer(self, case: DeviceCase, x: Any) -> dict[str, float]:
        """CuSPARSE through PyTorch, for single vectors of the two square shapes."""
        if case.shape not in _CSR_SHAPES or case.batch != 1 or case.dtype != "float16":
            return {}
        W = random_mask(case.shape, case.density).to(x.dtype)
        csr = W.to_sparse_csr()
        parts = csr.crow_indices().int(), csr.col_indices().int(), csr.values()
        nbytes = sum(part.nbytes for part in parts)
        copies = [
            torch.sparse_csr_tensor(*(part.clone() for part in parts), size=case.shape)
            for _ in range(copies_of(nbytes))
        ]
        try:
            time = microseconds(lambda i: copies[i] @ x[0], len(copies))
        except RuntimeError as error:
            self.notes.append(f"{case.name}: cuSPARSE: {str(error).splitlines()[0]}")
            return {}
        return {"csr-cusparse": time}

    def _macko_peer(self, case: DeviceCase, x: Any) -> dict[str, float]:
        """MACKO's published kernel, where its package is: float16, one vector."""
        if case.batch != 1 or case.dtype != "float16":
            return {}
        try:
            import macko_spmv
        except ImportError:
            return {}
        # The package packs on the CPU, and writes the same bytes.
        *arrays, rows, cols = gossamer.macko.compress(random_mask(case.shape, case.density).half())
        copies = [
            (*(array.clone() for array in arrays), rows, cols)
            for _ in range(copies_of(sum(array.nbytes for array in arrays)))
        ]
        macko_spmv.multiply(copies[0], x[0])
        if not is_captured(lambda: macko_spmv.multiply(copies[0], x[0])):
            self.notes.append(f"{case.name}: MACKO's kernel ran outside of the CUDA graph")
            return {}
        return {"macko": microseconds(lambda i: macko_spmv.multiply(copies[i], x[0]), len(copies))}

    def _read_limit(self, nbytes: int) -> float | None:
        if nbytes not in self._read:
            self._read[nbytes] = read_microseconds(nbytes)
        return self._read[nbytes]


def random_mask(shape: tuple[int, int], density: float) -> Any:
    """Return a float32 matrix on the GPU, each element kept with that probability."""
    generator = torch.Generator("cuda").manual_seed(0)
    W = torch.randn(shape, device="cuda", generator=generator)
    return W.mul_(torch.rand(shape, device="cuda", generator=generator) < density)


def _matrix(packed: Any) -> Any:
    stored = packed._storage
    parts = Parts(stored.values, stored.positions, stored.row_offsets, stored.scales)
    return device_matrix(parts, stored.format, (stored.rows, stored.cols))


def run_device_packed_benchmark(
    quick: bool,
    pattern: re.Pattern[str],
    say: Callable[[str], None],
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure the cases whose names match; the results as they are written.

    Cases in ``earlier``, the results of a run before, are kept as they are.
    """
    suite = _Suite(say, earlier)
    gpu = describe_gpu()
    names = matching(pattern, (case.name for case in device_cases(quick)))
    suite.run([case for case in device_cases(quick) if case.name in names])
    return {
        "benchmark": "packed --device cuda",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "gossamer": gossamer.__version__,
        "commit": suite.commit,
        "machine": gpu,
        "how": "medians of 20 replays of one CUDA graph, time a launch; operands rotated over 256 "
        "MiB; us: as Python launches products that follow each other in a graph, overlapped; "
        "us_alone: each begins when the one before it has ended",
        "cases": suite.cases,
        "notes": suite.notes,
        "wrong": suite.wrong,
    }
