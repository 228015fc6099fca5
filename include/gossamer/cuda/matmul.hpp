// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "gossamer/cuda.hpp"
#include "gossamer/views.hpp"

namespace gossamer::cuda {

/// How the rows of a pattern are dealt out to the threads of a device, found once for a pattern.
///
/// Rows of even lengths are taken as they come. Others are taken by classes of lengths, the longest
/// first, and the longest are cut into pieces.
struct RowSchedule {
  /// Class c > 0 has the rows of more than 2^(c+1) and at most 2^(c+2) positions; the last one all
  /// that are longer.
  static constexpr int classes = 12;

  bool even = true;
  std::array<std::int64_t, classes> class_rows{};
  std::int64_t pieces = 0;       ///< of the rows in the last class
  std::int64_t tiles = 0;        ///< stretches of rows that begin in equal shares of the matrix
  const void* memory = nullptr;  ///< uneven: device memory, `elements` of the index dtype

  /// Elements of `memory`: the rows by classes, the first piece of each row that is cut, and one
  /// more, the row of each piece, the first row of each tile and one more.
  std::int64_t elements() const;
};

/// The schedule of a pattern, its memory left null. workspace: 256 bytes. Synchronizes.
RowSchedule plan_rows(const CsrPattern& pattern, Workspace workspace, Stream stream);

/// Bytes of workspace that fill_row_schedule needs.
std::size_t row_schedule_workspace(const CsrPattern& pattern);

/// Writes schedule.elements() elements of the index dtype, for schedules that are not even.
void fill_row_schedule(const CsrPattern& pattern, const RowSchedule& schedule, void* memory,
                       Workspace workspace, Stream stream);

/// Bytes of workspace that matmul needs for these operands: for sums, for a copy of X where its
/// columns are strided and that pays, and for values that are moved first, where `mapped`. Throws
/// for operands as matmul does.
std::size_t matmul_workspace(const CsrPattern& pattern, const RowSchedule& schedule,
                             const ArrayView& x, const ArrayView& y, bool mapped = false);

/// Y = A X, or conj(A) X, as gossamer::matmul.
///
/// Every element is summed in an order that the pattern, the shapes and the strides alone decide.
/// With int32 indices the rows of X lie less than 2 GiB apart. The pattern and its schedule were
/// complete before the first product was launched: an overlapped one reads them before it waits.
///
/// overlap: whether it may begin while the kernel before it ends (programmatic dependent launch,
/// from compute capability 9.0 on); without a value, where that pays: in a graph that is being
/// captured, right behind another product, by the same thread.
/// map: null, or nnz indices of the pattern's index dtype, complete as it: the value at position p
/// is a.values[map[p]].
/// bias: null, or an element of A's dtype for each row, added to the rounded sums of that row; the
/// rows of Y lie next to each other then.
///
/// Throws InvalidArgument for shapes and strides that do not fit and for a workspace that is too
/// small, InvalidDType for types that do not.
void matmul(const CsrView& a, const RowSchedule& schedule, const ArrayView& x, const ArrayView& y,
            bool conjugate, Workspace workspace, Stream stream, std::optional<bool> overlap = {},
            const void* map = nullptr, const void* bias = nullptr);

}  // namespace gossamer::cuda
