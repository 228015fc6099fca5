# SPDX-License-Identifier: Apache-2.0
"""Timing on a GPU: calls in one CUDA graph over data that the cache does not hold."""

from __future__ import annotations

import math
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

#: Bytes over which operands are rotated: several times the level-2 cache of the largest GPUs.
ROTATED_BYTES = 256 << 20
_LAUNCHES, _REPLAYS = 12, 20
#: Seconds of replays before the first one counts. After a pause the GPU's clocks take some
#: milliseconds to rise: without this the first of two contenders was up to 12% slower.
_WARM_UP = 0.02

_PLAIN_READ = """
extern "C" __global__ void plain_read(const uint4* data, unsigned long long count, unsigned* sink) {
  unsigned sum = 0;
  const unsigned long long stride = (unsigned long long)gridDim.x * blockDim.x;
  unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
  for (; i + 7 * stride < count; i += 8 * stride) {
    uint4 v[8];
    #pragma unroll
    for (int k = 0; k < 8; ++k) v[k] = __ldcs(data + i + k * stride);
    #pragma unroll
    for (int k = 0; k < 8; ++k) sum ^= v[k].x ^ v[k].y ^ v[k].z ^ v[k].w;
  }
  for (; i < count; i += stride) {
    const uint4 v = __ldcs(data + i);
    sum ^= v.x ^ v.y ^ v.z ^ v.w;
  }
  if (sum == 0x9e3779b9u) *sink = sum;
}
"""


def copies_of(nbytes: int) -> int:
    """Copies of an operand that exceed the cache together."""
    return max(2, math.ceil(ROTATED_BYTES / max(nbytes, 1)))


def microseconds(launch: Callable[[int], Any], copies: int) -> float:
    """Median time of launch(copy): all copies, at least 12 launches, captured in one graph."""
    return microseconds_in_turns([launch], copies)[0]


def microseconds_in_turns(launches: Sequence[Callable[[int], Any]], copies: int) -> list[float]:
    """`microseconds` of each of several contenders over the same operands, replayed in turns."""
    rounds = math.ceil(_LAUNCHES / copies)
    graphs = [_captured(launch, copies, rounds) for launch in launches]
    warm = time.perf_counter() + _WARM_UP
    while time.perf_counter() < warm:
        for graph in graphs:
            graph.replay()
        torch.cuda.synchronize()
    times: list[list[float]] = [[] for _ in graphs]
    for _ in range(_REPLAYS):
        for graph, found in zip(graphs, times, strict=True):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            found.append(start.elapsed_time(end) * 1e3 / (rounds * copies))
    return [statistics.median(found) for found in times]


def _captured(launch: Callable[[int], Any], copies: int, rounds: int) -> torch.cuda.CUDAGraph:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())  # what makes the operands may still run there
    with torch.cuda.stream(side):
        for copy in range(copies):
            launch(copy)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        for _ in range(rounds):
            for copy in range(copies):
                launch(copy)
    return graph


def is_captured(call: Callable[[], torch.Tensor]) -> bool:
    """Whether a graph holds what the call launches, which has a result other than zeros.

    Kernels on another than the current stream run at once, and the graph stays empty.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.Stream()):
        result = call()
    torch.cuda.synchronize()
    result.zero_()
    graph.replay()
    return bool(result.any())


def read_microseconds(nbytes: int) -> float | None:
    """Time of a kernel that only reads that many bytes; None without CuPy, which compiles it."""
    try:
        import cupy
    except ImportError:
        return None
    kernel = cupy.RawKernel(_PLAIN_READ, "plain_read")
    nbytes = max(nbytes // 16 * 16, 16)
    copies = copies_of(nbytes)
    data = torch.zeros((copies, nbytes), dtype=torch.uint8, device="cuda")
    sink = torch.zeros(1, dtype=torch.int32, device="cuda")
    multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count

    def launch(blocks: int, copy: int) -> None:
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            arguments = (data[copy].data_ptr(), nbytes // 16, sink.data_ptr())
            kernel((blocks,), (512,), arguments)

    return min(
        microseconds(partial(launch, 2 * multiprocessors), copies),
        microseconds(partial(launch, 4 * multiprocessors), copies),
    )


def describe_gpu() -> dict[str, Any]:
    """Name, driver and clocks of the GPU, as they are while it computes."""
    properties = torch.cuda.get_device_properties(0)
    busy = torch.randn((8192, 8192), device="cuda", dtype=torch.float16)
    for _ in range(50):
        busy = (busy @ busy).clamp(-1, 1)
    query = "driver_version,clocks.sm,clocks.mem,power.draw"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader", "--id=0"]
    clocks = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    torch.cuda.synchronize()
    return {
        "gpu": properties.name,
        "multiprocessors": properties.multi_processor_count,
        query: clocks,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }
