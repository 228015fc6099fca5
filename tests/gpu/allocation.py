# SPDX-License-Identifier: Apache-2.0
"""What is allocated on the GPU."""

import gc
import time

import torch


def allocated(at_most=0):
    """Bytes of PyTorch's once they are few enough; CUDA tells late of graphs that are gone."""
    gc.collect()
    torch.cuda.synchronize()
    for _ in range(100):
        if torch.cuda.memory_allocated() <= at_most:
            break
        time.sleep(0.01)
    return torch.cuda.memory_allocated()
