// SPDX-License-Identifier: Apache-2.0
// Packed matrices to dense ones, a warp a row.
#include "cuda/packed_rows.cuh"
#include "cuda/packed_values.cuh"
#include "cuda/runtime.hpp"
#include "formats/packed.hpp"
#include "gossamer/cuda/packed.hpp"
#include "ops/packed_matmul/cuda/vectors.hpp"

namespace gossamer::cuda {
namespace {

/// The unsigned type of a value's size.
template <class V>
using ItemOf = std::conditional_t<sizeof(V) == 4, std::uint32_t,
                                  std::conditional_t<sizeof(V) == 2, std::uint16_t, std::uint8_t>>;

template <class V, class T>
__global__ void unpack_rows(PackedView packed, T* dense, std::int64_t row_stride,
                            std::int64_t col_stride) {
  const std::int64_t row = std::int64_t{blockIdx.x} * rows_a_block + threadIdx.x / 32;
  if (row >= packed.rows) return;
  T* to = dense + row * row_stride;
  const V* values = static_cast<const V*>(packed.values);
  const float scale = packed.scales != nullptr ? packed.scales[row] : 1.0f;
  const auto value_at = [&](std::int64_t item) {
    const float value = widened(values[item]);
    return narrowed<T>(packed.scales != nullptr ? value * scale : value);
  };
  if (packed.format == PackedFormat::bitmap) {
    walk_row<ItemOf<V>>(packed, row, 0, [&](bool stored, int column, std::int64_t item) {
      if (column < packed.cols) to[column * col_stride] = stored ? value_at(item) : T{};
    });
    return;
  }
  for (std::int64_t column = threadIdx.x % 32; column < packed.cols; column += 32) {
    to[column * col_stride] = T{};
  }
  __syncwarp();
  walk_row<ItemOf<V>>(packed, row, 0, [&](bool stored, int column, std::int64_t item) {
    if (stored) to[column * col_stride] = value_at(item);
  });
}

}  // namespace

void unpack(const PackedView& matrix, const ArrayView& dense, Stream stream, bool scaled) {
  PackedView packed = matrix;
  if (!scaled) packed.scales = nullptr;
  check_dense(dense, packed.rows, packed.cols);
  const DeviceScope scope(stream, "unpack");
  visit_dense(dense.dtype, "dense", [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_packed(packed.dtype, [&](auto value) {
      using V = typename decltype(value)::type;
      if (packed.rows == 0) return;
      unpack_rows<V><<<row_blocks(packed.rows), 32 * rows_a_block, 0, native(stream)>>>(
          packed, static_cast<T*>(dense.data), dense.strides[0], dense.strides[1]);
    });
  });
  check_launch("unpack");
}

}  // namespace gossamer::cuda
