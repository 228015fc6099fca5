# SPDX-License-Identifier: Apache-2.0
"""``gossamer bench train``: a training step of a sparse layer beside a dense one's."""

from __future__ import annotations

from gossamer.cli.bench.command import finish, progress, require_gpu
from gossamer.cli.extras import require
from gossamer.cli.options import DeviceName, JsonFile


def train(
    json_file: JsonFile = None,
    device: DeviceName = "cpu",
) -> None:
    """Measure a step of a 4096×4096 layer with 1% of its weights, batch 64, float32, in PyTorch.

    A step is forward, backward by the input and the weights, and plain gradient descent; on a GPU
    also all of it in one CUDA graph. Exits with 1 if the layers' gradients differ.
    """
    if device == "cuda":
        require_gpu()
    require("llm", "torch")
    from gossamer.cli.bench.train_suite import print_train_report, run_train_benchmark

    with progress() as say:
        results = run_train_benchmark(device, say)
    finish(results, json_file, print_train_report)
