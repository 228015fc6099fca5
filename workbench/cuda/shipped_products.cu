// SPDX-License-Identifier: Apache-2.0
// C entry points of the shipped packed products for bench.py.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <vector>

#include "gossamer/cuda/packed.hpp"

using namespace gossamer;

namespace {

/// Device memory that frees itself.
struct Memory {
  explicit Memory(std::size_t bytes) { cudaMalloc(&data, bytes + 1); }
  ~Memory() { cudaFree(data); }
  Memory(const Memory&) = delete;
  void* data = nullptr;
};

}  // namespace

/// A packed matrix and its arrangement, as often as asked for.
struct Product {
  std::unique_ptr<Memory> values, positions, offsets, scales;
  PackedView packed;
  std::vector<std::unique_ptr<cuda::Arrangement>> arrangement;
  std::vector<std::unique_ptr<Memory>> memory;
};

namespace {

void create(Product& p, bool tiles, PackedDType values, DType dtype, const void* dense,
            std::int64_t rows, std::int64_t cols, int copies) {
  const cuda::Stream stream;
  const ArrayView view = ArrayView::contiguous(const_cast<void*>(dense), dtype, {rows, cols});
  const std::size_t bytes = cuda::count_packed_workspace(rows), count = packed_formats.size();
  const Memory workspace(bytes);
  p.offsets = std::make_unique<Memory>(8 * count * (rows + 1));
  auto* offsets = static_cast<std::int64_t*>(p.offsets->data);
  cuda::count_packed(view, 0, offsets, {workspace.data, bytes}, stream);
  offsets += static_cast<std::size_t>(PackedFormat::bitmap) * (rows + 1);
  std::int64_t slots = 0;
  cudaMemcpy(&slots, offsets + rows, 8, cudaMemcpyDeviceToHost);
  const PackedLayout layout = packed_layout(PackedFormat::bitmap, rows, cols, slots);
  p.values = std::make_unique<Memory>(layout.values * item_size(values));
  p.positions = std::make_unique<Memory>(layout.positions);
  p.scales = std::make_unique<Memory>(4 * rows);
  auto* scales = has_scales(values) ? static_cast<float*>(p.scales->data) : nullptr;
  if (scales != nullptr) cuda::row_scales(view, 0, values, scales, stream);
  auto* positions = static_cast<std::uint8_t*>(p.positions->data);
  cuda::pack(
      view, 0,
      {PackedFormat::bitmap, values, DType::int64, offsets, scales, p.values->data, positions},
      slots, stream);
  p.packed = {PackedFormat::bitmap, values,    DType::int64, rows,  cols, slots,
              p.values->data,       positions, offsets,      scales};
  const std::size_t needed =
      tiles ? cuda::bitmap_tiles_workspace(p.packed) : cuda::delta_rows_workspace(p.packed);
  const Memory scratch(needed);
  for (int copy = 0; copy < copies; ++copy) {
    const cuda::Workspace given{scratch.data, needed};
    p.arrangement.push_back(tiles ? cuda::arrange_bitmap_tiles(p.packed, given, stream)
                                  : cuda::arrange_delta_rows(p.packed, given, stream));
    p.memory.push_back(std::make_unique<Memory>(p.arrangement.back()->bytes()));
    p.arrangement.back()->fill(p.packed, p.memory.back()->data, given, stream);
  }
}

/// Runs body and says why it failed.
template <class Body>
bool succeeds(Body&& body) {
  try {
    body();
    return true;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return false;
  }
}

}  // namespace

extern "C" void* product_create(int tiles, int values, int dtype, const void* dense,
                                std::int64_t rows, std::int64_t cols, int copies) {
  auto p = std::make_unique<Product>();
  const bool made = succeeds([&] {
    create(*p, tiles != 0, static_cast<PackedDType>(values), static_cast<DType>(dtype), dense, rows,
           cols, copies);
  });
  return made ? p.release() : nullptr;
}
extern "C" void product_free(Product* p) { delete p; }
extern "C" std::size_t product_bytes(const Product* p) { return p->arrangement[0]->bytes(); }
extern "C" std::size_t product_workspace(const Product* p, std::int64_t vectors) {
  return p->arrangement[0]->workspace_bytes(vectors);
}
/// The matrix in float32, scaled: of the arrangement, or of what was packed.
extern "C" int product_unpack(const Product* p, int packed, int dtype, void* dense, void* stream) {
  const ArrayView view =
      ArrayView::contiguous(dense, static_cast<DType>(dtype), {p->packed.rows, p->packed.cols});
  return succeeds([&] {
    if (packed != 0) {
      cuda::unpack(p->packed, view, {0, stream});
    } else {
      p->arrangement[0]->unpack(view, {0, stream});
    }
  });
}
extern "C" int product_launch(const Product* p, int copy, int dtype, void* x, void* y,
                              std::int64_t vectors, void* workspace, std::size_t bytes, int overlap,
                              void* stream) {
  const auto type = static_cast<DType>(dtype);
  return succeeds([&] {
    p->arrangement[copy]->matmul(ArrayView::contiguous(x, type, {vectors, p->packed.cols}),
                                 ArrayView::contiguous(y, type, {vectors, p->packed.rows}),
                                 {workspace, bytes}, {0, stream}, overlap != 0);
  });
}
