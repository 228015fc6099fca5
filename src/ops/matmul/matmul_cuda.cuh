// SPDX-License-Identifier: Apache-2.0
// What the kernels of matmul share: their operands.
#pragma once

#include <type_traits>

#include "cuda/async_copy.cuh"
#include "cuda/dense_columns.cuh"
#include "cuda/launch.cuh"
#include "cuda/runtime.hpp"
#include "cuda/scalar.cuh"
#include "gossamer/cuda/matmul.hpp"
#include "ops/matmul/matmul_cuda_tuning.hpp"

namespace gossamer::cuda {

/// The sparse operand, and what is added to the product.
struct Operand {
  const CsrView& a;
  const void* map;   ///< of the values, of the index dtype; may be null
  const void* bias;  ///< one element a row, of A's dtype; may be null
  bool conjugate;

  const CsrPattern& pattern() const { return a.pattern; }
};

/// Elements that are read once.
template <class T>
struct ReadOnce {
  const T* from;

  __device__ __forceinline__ T operator[](int i) const { return load_once(from + i); }
};

/// Values in the order of a map.
template <class T, class I>
struct ReadThroughMap {
  const T* values;
  const I* map;

  __device__ __forceinline__ T operator[](int i) const { return values[load_once(map + i)]; }
};

/// Mapped: values are read through the map. Asked for at run time, it would keep loads of values
/// from being sent off together: products with 64 columns took 1.6 times as long.
template <class T, class I, bool Mapped = false>
struct Matrix {
  /// Without a map there is no parameter for one, which takes a small product 0.04 of 2 us.
  using Values = std::conditional_t<Mapped, ReadThroughMap<T, I>, ReadOnce<T>>;

  explicit Matrix(const Operand& operand)
      : rows(static_cast<I>(operand.pattern().rows)),
        indptr(static_cast<const I*>(operand.pattern().indptr)),
        indices(static_cast<const I*>(operand.pattern().indices)),
        values(values_of(operand)),
        bias(static_cast<const T*>(operand.bias)),
        conjugate(operand.conjugate) {}

  /// Column indices and values from `position + offset` on, which may lie beyond the index type.
  /// Kernels that add multiples of a constant add them to where a lane begins: added to the
  /// position instead, each load had an address of its own, loads of X waited for one another, and
  /// products of a single column took up to 1.3 times as long. A step known at run time is better
  /// added to the position: 16000 rows of 160 times 64 columns take 69.0 us so, else 73.8.
  __device__ __forceinline__ auto indices_from(I position, int offset = 0) const {
    return ReadOnce<I>{indices + position + offset};
  }
  __device__ __forceinline__ Values values_from(I position, int offset = 0) const {
    if constexpr (Mapped) {
      return Values{values.values, values.map + position + offset};
    } else {
      return Values{values.from + position + offset};
    }
  }

  /// What is stored of a row's sum, which is rounded before the bias is added to it, as if that
  /// were an operation of its own.
  __device__ __forceinline__ DeviceAccumulator<T> result(DeviceAccumulator<T> sum,
                                                         std::int64_t row) const {
    return bias == nullptr ? sum : widen(narrow<T>(sum)) + widen(bias[row]);
  }

  I rows;
  const I* indptr;
  const I* indices;
  Values values;
  const T* bias;
  bool conjugate;

 private:
  static Values values_of(const Operand& operand) {
    const auto* const values = static_cast<const T*>(operand.a.values);
    if constexpr (Mapped) {
      return {values, static_cast<const I*>(operand.map)};
    } else {
      return {values};
    }
  }
};

/// Calls body with std::true_type where there is a map, else with std::false_type.
template <class Body>
void visit_mapped(const Operand& operand, Body&& body) {
  operand.map == nullptr ? body(std::false_type{}) : body(std::true_type{});
}

/// Row `column` of X: one multiply-add of the index's width makes the address.
template <class T, class I>
__device__ __forceinline__ const T* x_row(const T* x, I column, I row_bytes) {
  return reinterpret_cast<const T*>(reinterpret_cast<const char*>(x) +
                                    static_cast<std::int64_t>(column) * row_bytes);
}

/// Bytes from one row of X to the next.
template <class T, class I>
I row_bytes(const DenseColumns& dense) {
  return static_cast<I>(dense.x_row_stride * static_cast<std::int64_t>(sizeof(T)));
}

/// The long rows' pieces, as a schedule has them.
template <class I>
struct Pieces {
  Pieces() = default;
  Pieces(const RowSchedule& rows, const CsrPattern& pattern, const DenseColumns& dense,
         Workspace workspace)
      : order(static_cast<const I*>(rows.memory)),
        sums(workspace.data),
        columns(dense.cols * dense.members) {
    const std::int64_t cut = rows.class_rows[RowSchedule::classes - 1];
    if (cut == 0) return;
    offsets = order + pattern.rows;
    owners = offsets + cut + 1;
  }

  const I* order = nullptr;    ///< rows that are not even, by classes
  const I* offsets = nullptr;  ///< first piece of each row that is cut; null without any
  const I* owners = nullptr;   ///< of each piece, its row's place in the order
  void* sums = nullptr;        ///< of pieces, `columns` accumulators each
  std::int64_t columns = 0;
};

/// The sum over a block's threads, in the first one. warp_sums: one for each warp, in shared
/// memory.
template <class Sum>
__device__ Sum sum_block(Sum sum, Sum* warp_sums) {
  sum = sum_lanes(sum, 32);
  __syncthreads();
  if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
  __syncthreads();
  for (int warp = 1; threadIdx.x == 0 && warp < tuning::matmul_cuda_block / 32; ++warp) {
    sum = sum + warp_sums[warp];
  }
  return sum;
}

/// Where kernels go, and how.
struct Launch {
  Stream stream;
  bool overlap;      ///< the first kernel begins while the one before it ends
  bool can_overlap;  ///< so can those behind it

  template <class... Parameters, class... Arguments>
  void operator()(bool early, void (*kernel)(Parameters...), dim3 blocks,
                  Arguments&&... arguments) const {
    check(launch_overlapped(kernel, blocks, tuning::matmul_cuda_block, 0, native(stream), early,
                            std::forward<Arguments>(arguments)...),
          "matmul");
  }
};

inline unsigned limited(std::int64_t blocks) {
  return static_cast<unsigned>(std::min<std::int64_t>(blocks, 65'535));
}

/// Even rows, one column of any stride. Returns false, and does nothing, where there are too few
/// rows.
bool multiply_stream(const Operand& operand, const DenseColumns& dense, const Launch& launch);

/// Uneven rows that have tiles, one column of any stride.
void multiply_tiles(const Operand& operand, const RowSchedule& schedule, const DenseColumns& dense,
                    Workspace workspace, const Launch& launch);

/// Any rows, any columns.
void multiply_rows(const Operand& operand, const RowSchedule& schedule, const DenseColumns& dense,
                   Workspace workspace, const Launch& launch);

/// Adds up the pieces of each long row, in their order, behind a kernel that wrote their sums.
void join_pieces(const Operand& operand, const RowSchedule& schedule, const DenseColumns& dense,
                 Workspace workspace, const Launch& launch);

}  // namespace gossamer::cuda
