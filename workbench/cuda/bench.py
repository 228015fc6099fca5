# SPDX-License-Identifier: Apache-2.0
"""Check and time the shipped packed products against cuBLAS and a plain read of the same bytes.

Every timing: operands rotated over more copies than the L2 holds, all launches of a variant in one CUDA graph, the median of its
replays divided by the launches. `overlap` variants are launched so that a kernel may begin while the one before it ends.
"""

import argparse
import ctypes
import json
import statistics
import subprocess
from pathlib import Path

import torch
import torch.nn.functional as F

HERE = Path(__file__).parent
LIBRARY = ctypes.CDLL(str(HERE / "build/libworkbench.so"))
LIBRARY.product_create.restype = ctypes.c_void_p
LIBRARY.product_bytes.restype = LIBRARY.product_workspace.restype = ctypes.c_size_t
SHAPES = [(4096, 4096), (8192, 8192), (11008, 4096), (4096, 11008), (12288, 12288), (28672, 8192)]
DTYPES = {"float16": 0, "bfloat16": 1, "float32": 2}
VALUES = {"float32": 0, "float16": 1, "bfloat16": 2, "int8": 3, "float8_e4m3": 4}
UNIT_ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24}
L2_BYTES = 256 << 20


def stream():
    return ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)


def pointer(tensor):
    return ctypes.c_void_p(tensor.data_ptr())


def name(dtype):
    return str(dtype).removeprefix("torch.")


class Product:
    """One dense matrix packed as a bitmap and arranged, as often as the L2 wants it."""

    def __init__(self, dense, kind="bitmap_tiles", values=None, copies=1):
        self.shape, self.dtype = dense.shape, name(dense.dtype)
        self.copies = copies
        self.handle = ctypes.c_void_p(
            LIBRARY.product_create(
                int(kind == "bitmap_tiles"), VALUES[values or self.dtype], DTYPES[self.dtype], pointer(dense),
                ctypes.c_int64(dense.shape[0]), ctypes.c_int64(dense.shape[1]), copies,
            )
        )  # fmt: skip
        if not self.handle:
            raise RuntimeError("product_create failed")
        self.nbytes = LIBRARY.product_bytes(self.handle)
        self.workspace = torch.zeros(1, dtype=torch.uint8, device="cuda")

    def __del__(self):
        LIBRARY.product_free(self.handle)

    def unpack(self, dense, packed=False):
        LIBRARY.product_unpack(self.handle, int(packed), DTYPES[name(dense.dtype)], pointer(dense), stream())
        return dense

    def reserve(self, vectors):
        """A workspace of that size, zero as products leave it."""
        nbytes = LIBRARY.product_workspace(self.handle, ctypes.c_int64(vectors))
        self.workspace = torch.zeros(nbytes, dtype=torch.uint8, device="cuda")

    def launch(self, x, y, overlap=False, copy=0):
        ok = LIBRARY.product_launch(
            self.handle, copy, DTYPES[name(x.dtype)], pointer(x), pointer(y), ctypes.c_int64(x.shape[0]),
            pointer(self.workspace), ctypes.c_size_t(self.workspace.numel()), int(overlap), stream(),
        )  # fmt: skip
        if not ok:
            raise RuntimeError("product_launch failed")


def microseconds(launch, copies, replays=20):
    """Median time of launch(copy), over all copies at least 12 times a graph."""
    rounds = max(1, -(-12 // copies))
    graph = torch.cuda.CUDAGraph()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())  # what made the operands
    with torch.cuda.stream(side):
        for i in range(3):
            launch(i % copies)
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        for _ in range(rounds):
            for i in range(copies):
                launch(i)
    times = []
    for i in range(replays + 3):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        if i >= 3:
            times.append(start.elapsed_time(end) * 1000 / (rounds * copies))
    return statistics.median(times)


def dense_peer(rows, cols, dtype, batches):
    """Time of the dense product for each number of vectors: the faster of mv and linear."""
    copies = max(2, -(-L2_BYTES // (rows * cols * dtype.itemsize)))
    w = [torch.randn(rows, cols, device="cuda", dtype=dtype) for _ in range(copies)]
    times = {}
    for batch in batches:
        x = torch.randn(batch, cols, device="cuda", dtype=dtype)
        times[batch] = microseconds(lambda i, x=x: F.linear(x, w[i]), copies)
        if batch == 1:
            times[1] = min(times[1], microseconds(lambda i, x=x: torch.mv(w[i], x[0]), copies))
    return times


def read_limit(nbytes):
    nbytes = max(nbytes // 16 * 16, 16)
    copies = max(2, -(-L2_BYTES // nbytes))
    memory = torch.zeros(copies, nbytes, dtype=torch.uint8, device="cuda")
    sink = torch.zeros(1, dtype=torch.int32, device="cuda")
    return min(
        microseconds(
            lambda i, blocks=blocks: LIBRARY.launch_plain_read(
                pointer(memory[i]), ctypes.c_size_t(nbytes), pointer(sink), blocks, stream()
            ),
            copies,
        )
        for blocks in (264, 528)
    )


def random_matrix(rows, cols, density, dtype, seed=0):
    torch.manual_seed(seed)
    w = torch.randn(rows, cols, device="cuda")
    return torch.where(torch.rand(rows, cols, device="cuda") < density, w, 0.0).to(dtype)


def error_over_bound(y, w, x):
    """Largest |error| over the componentwise bound of a float32 sum rounded to y's type; w in float32."""
    w, x = w.double(), x.double()
    exact, moduli = x @ w.T, x.abs() @ w.abs().T
    k = (w != 0).sum(1).double() + 16
    u = 2.0**-24
    tiny = torch.finfo(y.dtype).smallest_normal * UNIT_ROUNDOFF[name(y.dtype)]
    bound = k * u / (1 - k * u) * moduli + UNIT_ROUNDOFF[name(y.dtype)] * exact.abs() + tiny
    ratio = (y.double() - exact).abs() / bound
    return float("inf") if torch.isnan(ratio).any() else ratio.max().item()


CHECKED_SHAPES = [(1, 1), (1, 3000), (17, 33), (70, 257), (256, 64), (257, 65), (33, 1025), (600, 4100), (3000, 8), (4096, 4096), (4300, 9000), (16, 20000)]


def check(repeats):
    """Bitmap tiles on poisoned results against float64, and the same bits `repeats` times again."""
    count = failures = 0
    worst = 0.0
    for dtype in (torch.float16, torch.bfloat16):
        for rows, cols in CHECKED_SHAPES:
            for density in (0.5, 0.05, 1.0):
                w = random_matrix(rows, cols, density, dtype, seed=rows + cols)
                product = Product(w)
                unpacked = torch.full((rows, cols), float("nan"), device="cuda", dtype=dtype)
                same = torch.equal(product.unpack(unpacked), w)
                unpacked.fill_(float("nan"))
                same &= torch.equal(product.unpack(unpacked, packed=True), w)
                if not same:
                    failures += 1
                    print("FAILED unpack", dtype, rows, cols, density)
                for batch in (1, 5, 8, 13, 31, 64, 100, 128):
                    x = torch.randn(batch, cols, device="cuda").to(dtype)
                    y = torch.full((batch, rows), float("nan"), device="cuda", dtype=dtype)
                    product.reserve(batch)
                    product.launch(x, y)
                    e, first = error_over_bound(y, w.float(), x), y.clone()
                    for repeat in range(repeats):
                        product.launch(x, y, overlap=repeat % 2 == 1)
                    same = torch.equal(first.view(torch.int16), y.view(torch.int16))
                    count, worst = count + 1, max(worst, e)
                    if not e <= 1 or not same:
                        failures += 1
                        print("FAILED", dtype, rows, cols, density, batch, e, same)
    print(f"check: {count} products, {failures} failures, worst error / bound {worst:.3f}", flush=True)


def measure(kind, values, dtype, shapes, densities, batches):
    results = []
    for rows, cols in shapes:
        peers = dense_peer(rows, cols, dtype, batches)
        for density in densities:
            w = random_matrix(rows, cols, density, dtype)
            nbytes = Product(w, kind, values).nbytes
            product = Product(w, kind, values, copies=max(2, -(-L2_BYTES // nbytes)))
            exact = product.unpack(torch.empty(rows, cols, device="cuda"))
            limit = read_limit(nbytes)
            memory = rows * cols * dtype.itemsize / nbytes
            for batch in batches:
                product.reserve(batch)
                x = torch.randn(batch, cols, device="cuda").to(dtype)
                y = torch.full((batch, rows), float("nan"), device="cuda", dtype=dtype)
                times = [
                    microseconds(lambda i, o=o, x=x, y=y: product.launch(x, y, o, i), product.copies)
                    for o in (False, True)
                ]
                error = error_over_bound(y[:8], exact, x[:8])
                results.append(
                    dict(kernel=kind, values=values or name(dtype), x=name(dtype), shape=[rows, cols], density=density,
                         batch=batch, us=times[0], us_overlap=times[1], read_limit_us=limit, dense_us=peers[batch],
                         nbytes=nbytes, error_over_bound=error)
                )  # fmt: skip
                print(
                    f"  {rows}x{cols} d={density:<4} batch {batch:<3} {times[0]:7.2f} us x{peers[batch] / times[0]:.2f} ({limit / times[0]:.2f})"
                    f" overlap {times[1]:7.2f} us x{peers[batch] / times[1]:.2f}  dense {peers[batch]:6.1f}  memory {memory:.3f}"
                    f"{'' if error <= 1 else f' WRONG {error}'}", flush=True,
                )  # fmt: skip
    for density in densities:
        for batch in batches:
            these = [r for r in results if r["density"] == density and r["batch"] == batch]
            speed = [statistics.geometric_mean(r["dense_us"] / r[f] for r in these) for f in ("us", "us_overlap")]
            least = min(r["dense_us"] / r["us"] for r in these)
            print(
                f"geomean {kind} d={density} batch {batch:<3} x{speed[0]:.2f} (least {least:.2f}) overlap x{speed[1]:.2f}"
            )
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", default="bitmap_tiles", choices=["bitmap_tiles", "delta_rows"])
    parser.add_argument("--shapes", default="all")
    parser.add_argument("--densities", default="0.5")
    parser.add_argument("--batches", default="8,16,32,64,128")
    parser.add_argument("--values", choices=list(VALUES), help="type of the values, that of x without it")
    parser.add_argument("--x", default="float16", choices=list(DTYPES))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json")
    args = parser.parse_args()
    if args.check:
        check(args.repeats)
    shapes = SHAPES if args.shapes == "all" else [tuple(map(int, s.split("x"))) for s in args.shapes.split(",") if s]
    results = measure(
        args.kind, args.values, getattr(torch, args.x), shapes,
        [float(d) for d in args.densities.split(",")], [int(b) for b in args.batches.split(",")],
    )  # fmt: skip
    if args.json:
        query = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,clocks.mem", "--format=csv,noheader"]
        gpu = subprocess.run(query, capture_output=True, text=True).stdout.strip()
        Path(args.json).write_text(json.dumps(dict(gpu=gpu, torch=torch.__version__, results=results), indent=1))


if __name__ == "__main__":
    main()
