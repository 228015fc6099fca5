# SPDX-License-Identifier: Apache-2.0
"""Check and time the workbench kernels against cuBLAS and a plain read of the same bytes.

Every timing: operands rotated over more copies than the L2 holds, all launches of a variant in one CUDA graph, the median of its
replays divided by the launches. `overlap` variants are launched so that a kernel may begin while the one before it ends.
"""

import argparse
import ctypes
import json
import statistics
import subprocess
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).parent
LIBRARY = ctypes.CDLL(str(HERE / "build/libworkbench.so"))
LIBRARY.delta_rows_arrange.restype = LIBRARY.bitmap_tiles_arrange.restype = ctypes.c_void_p
SHAPES = [(4096, 4096), (8192, 8192), (11008, 4096), (4096, 11008), (12288, 12288), (28672, 8192)]
CODES = {
    torch.float16: 0,
    torch.bfloat16: 1,
    torch.float32: 2,
    torch.int8: 3,
    torch.float8_e4m3fn: 4,
}
UNIT_ROUNDOFF = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8, torch.float32: 2.0**-24}
L2_BYTES = 256 << 20


class DeltaRows(ctypes.Structure):
    _fields_ = [
        (n, ctypes.c_void_p) for n in ["stream", "place", "group_step", "worker", "start", "owner", "partial"]
    ] + [
        *((n, ctypes.c_int) for n in ["groups", "cols", "blocks"]),
        ("block_unit", ctypes.c_int * 265),
    ]


def stream():
    return ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)


def bits_of(w):
    """The matrix on the host as unsigned integers of its width."""
    return (
        w.contiguous()
        .view({1: torch.uint8, 2: torch.int16, 4: torch.int32}[w.element_size()])
        .cpu()
    )


class DeltaRowsProduct:
    """One matrix arranged for one grid; `copies` of it on the device."""

    def __init__(self, host, dtype, delta_bits, blocks, warps, scale=None):
        self.rows, self.cols = host.shape
        self.delta_bits, self.vtype = delta_bits, CODES[dtype]
        scale = None if scale is None else scale.cpu()
        scale_host = ctypes.c_void_p(None if scale is None else scale.data_ptr())
        handle = ctypes.c_void_p(
            LIBRARY.delta_rows_arrange(
                ctypes.c_void_p(host.data_ptr()),
                host.element_size(),
                scale_host,
                self.rows,
                self.cols,
                delta_bits,
                blocks,
                warps,
            )
        )
        data, size = (ctypes.c_void_p * 7)(), (ctypes.c_size_t * 7)()
        self.groups = LIBRARY.delta_rows_arrays(handle, data, size)
        self.nbytes = sum(size)
        self.block_unit = (ctypes.c_int * 265)(*(ctypes.c_int * (blocks + 1)).from_address(data[6]))
        ends = np.cumsum([0] + [-(-n // 256) * 256 for n in size[:6]])
        block = torch.zeros(int(ends[-1]) + blocks * 128, dtype=torch.uint8, device="cuda")
        for i in range(6):
            if size[i]:
                part = torch.frombuffer(
                    (ctypes.c_uint8 * size[i]).from_address(data[i]), dtype=torch.uint8
                )
                block[ends[i] : ends[i] + size[i]] = part.cuda()
        LIBRARY.delta_rows_free(handle)
        self.ends, self.blocks, self.warps = ends, blocks, warps
        self.memory, self.views = [block], [self.view(block)]

    def view(self, block):
        base = block.data_ptr()
        at = [base + int(e) for e in self.ends]
        return DeltaRows(*at, self.groups, self.cols, self.blocks, self.block_unit)

    def rotate(self):
        while len(self.memory) * self.nbytes < L2_BYTES:
            self.memory.append(self.memory[0].clone())
            self.views.append(self.view(self.memory[-1]))

    def launch(self, x, y, overlap, copy=0):
        operands = (
            ctypes.byref(self.views[copy]),
            ctypes.c_void_p(x.data_ptr()),
            ctypes.c_void_p(y.data_ptr()),
            int(overlap),
            stream(),
        )
        error = LIBRARY.delta_rows_launch(self.vtype, CODES[x.dtype], self.delta_bits, *operands)
        if error:
            raise RuntimeError(f"delta_rows_launch: CUDA error {error}")


class BitmapTiles(ctypes.Structure):
    _fields_ = [(n, ctypes.c_void_p) for n in ["stream", "offset", "partial", "arrived"]] + [
        ("rows", ctypes.c_int), ("cols", ctypes.c_int), ("largest", ctypes.c_uint)
    ]  # fmt: skip


class BitmapTilesProduct:
    """One matrix arranged; `copies` of it on the device."""

    def __init__(self, host, dtype):
        self.rows, self.cols = host.shape
        self.type, self.splits = CODES[dtype], 1
        handle = ctypes.c_void_p(
            LIBRARY.bitmap_tiles_arrange(ctypes.c_void_p(host.data_ptr()), self.rows, self.cols)
        )
        data, size = (ctypes.c_void_p * 2)(), (ctypes.c_size_t * 2)()
        self.largest = LIBRARY.bitmap_tiles_arrays(handle, data, size)
        self.nbytes = sum(size)
        self.at = -(-size[0] // 256) * 256
        block = torch.zeros(self.at + size[1], dtype=torch.uint8, device="cuda")
        for i, start in enumerate((0, self.at)):
            if size[i]:
                part = torch.frombuffer(
                    (ctypes.c_uint8 * size[i]).from_address(data[i]), dtype=torch.uint8
                )
                block[start : start + size[i]] = part.cuda()
        LIBRARY.bitmap_tiles_free(handle)
        self.blocks = -(-self.rows // 128)
        self.memory = [block]
        self.arrived = torch.zeros(self.blocks, dtype=torch.int32, device="cuda")
        self.workspace = torch.zeros(1, device="cuda")

    def set_splits(self, splits, batch):
        self.splits = splits
        self.workspace = torch.full(
            (splits * -(-batch // 8) * 8 * self.blocks * 128,), float("nan"), device="cuda"
        )

    def rotate(self):
        while len(self.memory) * self.nbytes < L2_BYTES:
            self.memory.append(self.memory[0].clone())

    def launch(self, x, y, overlap, copy=0):
        base = self.memory[copy].data_ptr()
        a = BitmapTiles(
            base,
            base + self.at,
            self.workspace.data_ptr(),
            self.arrived.data_ptr(),
            self.rows,
            self.cols,
            self.largest,
        )
        error = LIBRARY.bitmap_tiles_launch(
            self.type, ctypes.byref(a), ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(y.data_ptr()), x.shape[0], self.splits,
            int(overlap), stream(),
        )  # fmt: skip
        if error:
            raise RuntimeError(f"bitmap_tiles_launch: CUDA error {error}")


def microseconds(launch, copies, replays=20):
    """Median time of launch(copy), over all copies at least 12 times a graph."""
    rounds = max(1, -(-12 // copies))
    graph = torch.cuda.CUDAGraph()
    side = torch.cuda.Stream()
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


def dense_peer(rows, cols, dtype, batch=1):
    copies = max(2, -(-L2_BYTES // (rows * cols * torch.finfo(dtype).bits // 8)))
    w = [torch.randn(rows, cols, device="cuda").to(dtype) for _ in range(copies)]
    x = torch.randn(batch, cols, device="cuda").to(dtype)
    times = {"linear": microseconds(lambda i: F.linear(x, w[i]), copies)}
    if batch == 1:
        times["mv"] = microseconds(lambda i: torch.mv(w[i], x[0]), copies)
    return times


def read_limit(nbytes):
    nbytes = max(nbytes // 16 * 16, 16)
    copies = max(2, -(-L2_BYTES // nbytes))
    memory = torch.zeros(copies, nbytes, dtype=torch.uint8, device="cuda")
    sink = torch.zeros(1, dtype=torch.int32, device="cuda")
    return min(
        microseconds(
            lambda i: LIBRARY.launch_plain_read(
                ctypes.c_void_p(memory[i].data_ptr()),
                ctypes.c_size_t(nbytes),
                ctypes.c_void_p(sink.data_ptr()),
                blocks,
                stream(),
            ),
            copies,
        )
        for blocks in (264, 528)
    )


def random_matrix(rows, cols, density, dtype, seed=0):
    g = torch.Generator("cuda").manual_seed(seed)
    mask = torch.rand(rows, cols, device="cuda", generator=g) < density
    if dtype == torch.int8:
        w = torch.randint(1, 128, (rows, cols), device="cuda", generator=g, dtype=torch.int8)
        w *= torch.randint(0, 2, (rows, cols), device="cuda", generator=g, dtype=torch.int8) * 2 - 1
    else:
        w = torch.randn(rows, cols, device="cuda", generator=g).to(dtype)
    return w.view(torch.uint8 if w.element_size() == 1 else w.dtype).mul_(mask).view(dtype)


def excess(y, w, x, scale=None):
    """Largest |y - reference| over the error bound of a float32 sum rounded to y's dtype; must be below 1. float64 reference."""
    a, worst, chunk = x.double(), 0.0, max(1, (1 << 26) // w.shape[1])
    for r in range(0, w.shape[0], chunk):
        part = w[r : r + chunk].to(torch.float32).double()
        if scale is not None:
            part *= scale[r : r + chunk].double()[:, None]
        reference, magnitude = part @ a, part.abs() @ a.abs()
        terms = (part != 0).sum(1).double() + 16
        bound = terms * 2.0**-24 * magnitude + UNIT_ROUNDOFF[y.dtype] * reference.abs() + 2.0**-24
        error = (y[r : r + chunk].double() - reference).abs() / bound
        worst = max(worst, float(error.nan_to_num(nan=float("inf")).max()))
    return worst


def check(configurations):
    shapes = [(1, 1, 1.0), (1, 5000, 0.3), (17, 33, 0.5), (100, 1000, 0.05), (1000, 257, 0.2), (33, 4097, 0.5), (513, 777, 0.9),
              (4097, 1023, 0.5), (300, 50000, 0.1), (40, 150000, 0.1), (2048, 4096, 0.0)]  # fmt: skip
    failures, count = 0, 0
    for vtype, xtype in [(torch.float16, torch.float16), (torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32),
                         (torch.float32, torch.float32), (torch.int8, torch.float16), (torch.int8, torch.bfloat16),
                         (torch.float8_e4m3fn, torch.float16)]:  # fmt: skip
        worst = 0.0
        for rows, cols, density in shapes:
            w = random_matrix(rows, cols, density, vtype, rows)
            if rows > 8:
                w.view(torch.uint8 if w.element_size() == 1 else w.dtype)[5] = 0
            scale = torch.rand(rows, device="cuda") + 0.5 if w.element_size() == 1 else None
            x = torch.randn(cols, device="cuda").to(xtype)
            for bits in (3, 4, 6, 8):
                for blocks, warps in configurations:
                    product = DeltaRowsProduct(bits_of(w), vtype, bits, blocks, warps, scale=scale)
                    y = torch.full((rows,), float("nan"), device="cuda", dtype=xtype)
                    product.launch(x, y, False)
                    e = (
                        excess(y.cpu(), w.cpu(), x.cpu(), None if scale is None else scale.cpu())
                        if rows * cols < 3e6
                        else excess(y, w, x, scale)
                    )
                    first = y.clone()
                    for _ in range(20):
                        product.launch(x, y, True)
                    same = torch.equal(first.view(torch.uint8), y.view(torch.uint8))
                    count += 1
                    worst = max(worst, e)
                    if not e <= 1 or not same:
                        failures += 1
                        print(
                            "FAILED",
                            vtype,
                            xtype,
                            rows,
                            cols,
                            density,
                            bits,
                            blocks,
                            warps,
                            e,
                            same,
                        )
        print(f"{vtype!s:20} x {xtype!s:15} worst error / bound {worst:.3f}", flush=True)
    print(f"check: {count} products, {failures} failures")


def check_bitmap():
    failures, count = 0, 0
    for dtype in (torch.float16, torch.bfloat16):
        worst = 0.0
        for rows, cols, density in [(1, 1, 1.0), (1, 5000, 0.3), (17, 33, 0.5), (130, 1000, 0.05), (1000, 257, 0.2), (513, 777, 0.9),
                                    (200, 4104, 1.0), (1025, 1023, 0.5), (300, 1024, 0.0)]:  # fmt: skip
            w = random_matrix(rows, cols, density, dtype, rows)
            product = BitmapTilesProduct(bits_of(w), dtype)
            for batch in (1, 3, 8, 9, 16, 31, 64):
                x = torch.randn(batch, cols, device="cuda").to(dtype)
                for splits in {1, 3, min(7, -(-cols // 64))}:
                    product.set_splits(splits, batch)
                    y = torch.full((batch, rows), float("nan"), device="cuda", dtype=dtype)
                    product.launch(x, y, False)
                    e = max(excess(y[n].cpu(), w.cpu(), x[n].cpu()) for n in {0, batch - 1})
                    e = max(e, float("inf") if torch.isnan(y).any() else 0)
                    first = y.clone()
                    for _ in range(20):
                        product.launch(x, y, True)
                    same = torch.equal(first.view(torch.int16), y.view(torch.int16))
                    count, worst = count + 1, max(worst, e)
                    if not e <= 1 or not same:
                        failures += 1
                        print("FAILED bitmap", dtype, rows, cols, density, batch, splits, e, same)
        print(f"bitmap {dtype} worst error / bound {worst:.3f}", flush=True)
    print(f"check: {count} products, {failures} failures")


def bench_bitmap(shapes, densities, batches, dtype):
    results = []
    for rows, cols in shapes:
        peers = {batch: dense_peer(rows, cols, dtype, batch) for batch in batches}
        for density in densities:
            w = random_matrix(rows, cols, density, dtype)
            product = BitmapTilesProduct(bits_of(w), dtype)
            product.rotate()
            limit = read_limit(product.nbytes)
            for batch in batches:
                x = torch.randn(batch, cols, device="cuda").to(dtype)
                y = torch.full((batch, rows), float("nan"), device="cuda", dtype=dtype)
                best = {}
                slots, blocks = 132 * (3 if batch <= 16 else 2), -(-rows // 128)
                for waves in (1, 2, 3, 4):
                    splits = max(1, min(waves * slots // blocks, cols // 128))
                    if splits in best:
                        continue
                    product.set_splits(splits, batch)
                    times = [
                        microseconds(lambda i, o=o: product.launch(x, y, o, i), len(product.memory))
                        for o in (False, True)
                    ]
                    best[splits] = times
                e = max(excess(y[n], w, x[n]) for n in {0, batch - 1})
                splits = min(best, key=lambda s: best[s][1])
                plain, overlapped = min(t[0] for t in best.values()), best[splits][1]
                peer = min(peers[batch].values())
                results.append(dict(kernel="bitmap_tiles", shape=[rows, cols], density=density, batch=batch, splits=splits, us=plain,
                                    us_overlap=overlapped, read_limit_us=limit, dense_us=peers[batch], nbytes=product.nbytes,
                                    error_over_bound=e, all=best))  # fmt: skip
                print(
                    f"  {rows}x{cols} bitmap d={density} batch {batch:<2} splits {splits:<2} {plain:7.2f} us x{peer / plain:.2f} ({limit / plain:.2f})"
                    f" overlap {overlapped:7.2f} us x{peer / overlapped:.2f}  memory {rows * cols * 2 / product.nbytes:.2f} err {e:.2f}"
                    f" {({s: round(t[0], 1) for s, t in best.items()})}", flush=True,
                )  # fmt: skip
    for density in densities:
        for batch in batches:
            these = [r for r in results if r["density"] == density and r["batch"] == batch]
            speed = lambda field: statistics.geometric_mean(
                min(r["dense_us"].values()) / r[field] for r in these
            )
            print(
                f"geomean bitmap d={density} batch {batch:<2} x{speed('us'):.2f} overlap x{speed('us_overlap'):.2f} ({len(these)} shapes)"
            )
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", default="all")
    parser.add_argument("--densities", default="0.5,0.3,0.2,0.1,0.05,0.7")
    parser.add_argument("--bits", default="0.7:3;0.5:3,4;0.3:3,4;0.2:4,6;0.1:6,8;0.05:6,8")
    parser.add_argument("--grids", default="132x16,264x16")
    parser.add_argument("--values", default="float16")
    parser.add_argument("--x", default="float16")
    parser.add_argument("--batches", default="", help="time bitmap_tiles at these")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json")
    args = parser.parse_args()
    grids = [tuple(map(int, g.split("x"))) for g in args.grids.split(",")]  # blocks, warps
    if args.check:
        check(grids)
        check_bitmap()
    shapes = (
        SHAPES
        if args.shapes == "all"
        else [tuple(map(int, s.split("x"))) for s in args.shapes.split(",") if s]
    )
    vtype, xtype = getattr(torch, args.values), getattr(torch, args.x)
    wanted = {
        float(k): [int(b) for b in v.split(",")]
        for k, v in (e.split(":") for e in args.bits.split(";"))
    }
    rows_out = []
    if args.batches:
        rows_out += bench_bitmap(
            shapes,
            list(map(float, args.densities.split(","))),
            list(map(int, args.batches.split(","))),
            vtype,
        )
        shapes = []
    for rows, cols in shapes:
        peer = dense_peer(rows, cols, xtype)
        best_peer = min(peer.values())
        print(f"{rows}x{cols}: dense {peer}", flush=True)
        for density in map(float, args.densities.split(",")):
            w = random_matrix(rows, cols, density, vtype)
            scale = torch.rand(rows, device="cuda") + 0.5 if w.element_size() == 1 else None
            host, x = bits_of(w), torch.randn(cols, device="cuda").to(xtype)
            limits = {}
            for bits in wanted[density]:
                for blocks, warps in grids:
                    product = DeltaRowsProduct(host, vtype, bits, blocks, warps, scale)
                    y = torch.full((rows,), float("nan"), device="cuda", dtype=xtype)
                    product.launch(x, y, False)
                    e = excess(y, w, x, scale)
                    product.rotate()
                    copies = len(product.views)
                    plain, overlapped = (
                        microseconds(lambda i, o=o: product.launch(x, y, o, i), copies)
                        for o in (False, True)
                    )
                    if bits not in limits:
                        limits[bits] = read_limit(product.nbytes)
                    limit = limits[bits]
                    memory = rows * cols * x.element_size() / product.nbytes
                    rows_out.append(dict(shape=[rows, cols], density=density, bits=bits, grid=[blocks, warps], us=plain,
                                         us_overlap=overlapped, read_limit_us=limit, dense_us=peer, nbytes=product.nbytes,
                                         error_over_bound=e))  # fmt: skip
                    print(
                        f"  d={density:<5} delta{bits} {blocks}x{warps} {plain:7.2f} us x{best_peer / plain:.2f} ({limit / plain:.2f} of limit)"
                        f"  overlap {overlapped:7.2f} us x{best_peer / overlapped:.2f} ({limit / overlapped:.2f})  memory {memory:.2f}"
                        f"  err {e:.2f}{'' if e <= 1 else ' WRONG'}",
                        flush=True,
                    )
                    del product
    for density in sorted({r["density"] for r in rows_out if "bits" in r}, reverse=True):
        for key in sorted({(r["bits"], *r["grid"]) for r in rows_out if r["density"] == density}):
            these = [
                r for r in rows_out if r["density"] == density and (r["bits"], *r["grid"]) == key
            ]
            speed = lambda field: statistics.geometric_mean(
                min(r["dense_us"].values()) / r[field] for r in these
            )
            print(
                f"geomean d={density:<5} delta{key[0]} {key[1]}x{key[2]} x{speed('us'):.2f}  overlap x{speed('us_overlap'):.2f}  ({len(these)} shapes)"
            )
    if args.json:
        smi = subprocess.run(
            [
                "nvidia-smi",
                "--query-gpu=name,driver_version,clocks.sm,clocks.mem",
                "--format=csv,noheader",
            ],
            capture_output=True,
            text=True,
        ).stdout.strip()
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=HERE
        ).stdout.strip()
        Path(args.json).write_text(
            json.dumps(
                dict(gpu=smi, commit=commit, torch=torch.__version__, results=rows_out), indent=1
            )
        )


if __name__ == "__main__":
    main()
