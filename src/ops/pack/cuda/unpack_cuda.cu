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

/// A bitmap's row: a lane takes eight columns of each 256, whose values follow each other.
template <class V, class T, class Value>
__device__ void unpack_bitmap_row(const PackedView& packed, std::int64_t row, T* to,
                                  std::int64_t col_stride, Value&& value) {
  const int lane = threadIdx.x % 32;
  const std::int64_t bytes = (packed.cols + 31) / 32 * 4;
  const std::uint8_t* masks = packed.positions + row * bytes;
  const V* values = static_cast<const V*>(packed.values) +
                    row_offset(packed.offset_dtype, packed.row_offsets, row);
  unsigned mask = lane < bytes ? masks[lane] : 0;
  for (std::int64_t at = lane; at - lane < bytes; at += 32) {
    const unsigned next = at + 32 < bytes ? masks[at + 32] : 0;  // on its way meanwhile
    const int through = inclusive_scan(__popc(mask));
    const V* from = values + through - __popc(mask);
    EightColumns<T> eight;
#pragma unroll
    for (int j = 0; j < 8; ++j) eight.value[j] = mask >> j & 1 ? value(*from++) : T{};
    T* first = to + 8 * at * col_stride;
    if (col_stride == 1 && 8 * at + 8 <= packed.cols &&
        reinterpret_cast<std::uintptr_t>(first) % alignof(EightColumns<T>) == 0) {
      *reinterpret_cast<EightColumns<T>*>(first) = eight;
    } else {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        if (8 * at + j < packed.cols) first[j * col_stride] = eight.value[j];
      }
    }
    values += __shfl_sync(all_lanes, through, 31);
    mask = next;
  }
}

template <class V, class T>
__global__ void unpack_rows(PackedView packed, T* dense, std::int64_t row_stride,
                            std::int64_t col_stride) {
  const std::int64_t row = std::int64_t{blockIdx.x} * rows_a_block + threadIdx.x / 32;
  if (row >= packed.rows) return;
  T* to = dense + row * row_stride;
  const float scale = packed.scales != nullptr ? packed.scales[row] : 1.0f;
  const auto narrow_scaled = [&](V stored) {
    const float value = widened(stored);
    return narrowed<T>(packed.scales != nullptr ? value * scale : value);
  };
  if (packed.format == PackedFormat::bitmap) {
    unpack_bitmap_row<V>(packed, row, to, col_stride, narrow_scaled);
    return;
  }
  for (std::int64_t column = threadIdx.x % 32; column < packed.cols; column += 32) {
    to[column * col_stride] = T{};
  }
  __syncwarp();
  const V* values = static_cast<const V*>(packed.values);
  walk_row<ItemOf<V>>(packed, row, 0, [&](bool stored, int column, std::int64_t item) {
    if (stored) to[column * col_stride] = narrow_scaled(values[item]);
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
