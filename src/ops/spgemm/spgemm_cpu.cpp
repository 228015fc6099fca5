// SPDX-License-Identifier: Apache-2.0
// Row by row (Gustavson): row i of C is the sum of B's rows k, each scaled by A[i, k].
//
// Short rows are sorted and summed several at once (row_group-inl.hpp). Three ways to sum and order
// any other row, by its number of products and the span of its columns:
// - copy:   one row of B, scaled;
// - window: sums at their places in the span, walked in order (window-inl.hpp);
// - sort:   products sorted by column, equal columns summed (sort-inl.hpp).
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/spgemm/spgemm_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/spgemm.hpp"
#include "ops/spgemm/column_table-inl.hpp"
#include "ops/spgemm/fill_rows-inl.hpp"
#include "ops/spgemm/row_group-inl.hpp"
#include "ops/spgemm/row_products.hpp"
#include "ops/spgemm/sort-inl.hpp"
#include "ops/spgemm/window-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

// ---- First phase --------------------------------------------------------------------------------

template <Marks Kind, class I>
HWY_INLINE std::int64_t count_window(const Typed<NoValue, I>& op, std::int64_t i,
                                     const RowWork& work, SpgemmScratch& scratch) {
  if (Kind == Marks::none) return work.width();
  const std::int64_t bytes = mark_bytes(Kind, work.width());
  std::uint8_t* const marks = scratch.marks.reserve<std::uint8_t>(bytes, 0);
  add_to_window<Kind>(op, i, work.low, nullptr, marks);
  const std::int64_t count = count_marks(marks, bytes);
  std::fill_n(marks, bytes, std::uint8_t{0});
  return count;
}

template <class I>
HWY_INLINE std::int64_t count_row(const Typed<NoValue, I>& op, std::int64_t i, const RowWork& work,
                                  SpgemmScratch& scratch) {
  switch (choose(work, op.canonical)) {
    case Method::copy:
      break;
    case Method::window:
      return with_marks(work, [&](auto kind) HWY_ATTR {
        return count_window<decltype(kind)::value>(op, i, work, scratch);
      });
    case Method::sort:
      return with_key(work, [&](auto key) HWY_ATTR {
        return count_columns<decltype(key)>(op, i, work, scratch);
      });
  }
  return work.products;
}

/// Replaces the products of each row by its positions in C; returns their sum.
std::int64_t CountRows(const SpgemmOperands& operands, std::int64_t begin, std::int64_t end,
                       std::int64_t* counts, SpgemmScratch& scratch) {
  return visit_index(operands.a.pattern.index_dtype, "A", [&](auto index) HWY_ATTR {
    const Typed<NoValue, typename decltype(index)::type> op(operands);
    if (operands.tabled) {
      ColumnTable(op, operands.b.pattern.cols, scratch).count(begin, end, counts);
      return std::accumulate(counts + begin, counts + end, std::int64_t{0});
    }
    RowGroups<NoValue, typename decltype(index)::type> groups(op, operands.b.pattern.cols);
    groups.split(
        begin, end, counts + begin,
        [&](const RowGroup& group) HWY_ATTR { groups.count(group, counts + group.begin); },
        [&](std::int64_t i, const Repeat& repeat) HWY_ATTR {
          counts[i] = counts[repeat.row];
          return true;
        },
        [&](std::int64_t i)
            HWY_ATTR { counts[i] = count_row(op, i, work_of(op, i, counts[i]), scratch); });
    return std::accumulate(counts + begin, counts + end, std::int64_t{0});
  });
}

// ---- Second phase -------------------------------------------------------------------------------

void FillRows(const SpgemmOperands& operands, std::int64_t begin, std::int64_t end,
              const SpgemmResult& c, SpgemmScratch& scratch) {
  visit_index(operands.a.pattern.index_dtype, "A", [&](auto index) {
    using I = typename decltype(index)::type;
    const auto fill = [&]<class T>() {
      fill_rows<T, I>(operands, begin, end, PlacedRows<T, I>(c, end, scratch), scratch);
    };
    if (c.values == nullptr) return fill.template operator()<NoValue>();
    visit_value(operands.a.dtype, "A",
                [&](auto value) { fill.template operator()<typename decltype(value)::type>(); });
  });
}

// ---- Both at once -------------------------------------------------------------------------------

/// Rows begin..end of C into the workspace, from its element `at` on. indptr[i + 1] becomes the
/// number of positions of the rows begin..i; returns that of all.
std::int64_t ComputeRows(const SpgemmOperands& operands, std::int64_t begin, std::int64_t end,
                         const SpgemmWorkspace& workspace, std::int64_t at, std::int64_t* indptr,
                         SpgemmScratch& scratch) {
  return visit_index(operands.a.pattern.index_dtype, "A", [&](auto index) {
    return visit_value(operands.a.dtype, "A", [&](auto value) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      const AppendedRows<T, I> rows(static_cast<I*>(workspace.columns) + at,
                                    static_cast<Sum<T>*>(workspace.sums) + at, begin, indptr);
      return fill_rows<T, I>(operands, begin, end, rows, scratch);
    });
  });
}

/// Copies bytes past the caches.
void StreamBytes(const void* from, std::int64_t bytes, void* to) {
  const hn::CappedTag<std::uint8_t, 64> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  const std::uint8_t* const source = static_cast<const std::uint8_t*>(from);
  std::uint8_t* const target = static_cast<std::uint8_t*>(to);
  const auto misaligned = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) % lanes);
  std::int64_t at = std::min(bytes, (lanes - misaligned) % lanes);
  std::copy_n(source, at, target);
  for (; at + lanes <= bytes; at += lanes) hn::Stream(hn::LoadU(d, source + at), d, target + at);
  std::copy_n(source + at, bytes - at, target + at);
  hwy::FlushStream();
}

/// Number of positions p in begin..end with indices[p] >= indices[p + 1].
template <class I>
HWY_INLINE std::int64_t count_descents(const I* indices, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<I> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  std::int64_t count = 0, p = begin;
  for (; p + lanes <= end; p += lanes) {
    const auto ascents = hn::Lt(hn::LoadU(d, indices + p), hn::LoadU(d, indices + p + 1));
    count += lanes - static_cast<std::int64_t>(hn::CountTrue(d, ascents));
  }
  for (; p < end; ++p) count += indices[p] >= indices[p + 1];
  return count;
}

/// Whether the columns of each of the rows increase strictly.
bool CanonicalRows(const CsrPattern& pattern, std::int64_t begin, std::int64_t end) {
  return visit_index(pattern.index_dtype, "B", [&](auto index) HWY_ATTR {
    using I = typename decltype(index)::type;
    const I* indptr = static_cast<const I*>(pattern.indptr);
    const I* indices = static_cast<const I*>(pattern.indices);
    // Descents anywhere against descents from one row to the next: the long loop has no branch.
    std::int64_t between_rows = 0;
    for (std::int64_t i = begin + 1; i < end; ++i) {
      const std::int64_t p = indptr[i];
      if (p > indptr[i - 1] && p < indptr[end]) between_rows += indices[p - 1] >= indices[p];
    }
    return count_descents(indices, indptr[begin],
                          std::max<std::int64_t>(indptr[begin], indptr[end] - 1)) == between_rows;
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {
namespace {

bool is_canonical(const CsrPattern& pattern) {
  const auto canonical_rows = GOSSAMER_SIMD_FUNCTION(CanonicalRows);
  const std::int64_t pieces = pieces_of(pattern.nnz + pattern.rows, pattern.rows);
  std::atomic<bool> canonical{true};
  visit_index(pattern.index_dtype, "B", [&](auto index) {
    const auto* indptr = static_cast<const typename decltype(index)::type*>(pattern.indptr);
    parallel_for(pieces, [&](std::int64_t piece) {
      if (!canonical_rows(pattern, balanced_row(indptr, pattern.rows, piece, pieces),
                          balanced_row(indptr, pattern.rows, piece + 1, pieces))) {
        canonical = false;
      }
    });
  });
  return canonical;
}

/// The operands, and what is worth knowing about B where finding out is cheap beside the product.
SpgemmOperands operands_of(const CsrView& a, const CsrView& b, std::int64_t work) {
  const CsrPattern& pattern = b.pattern;
  const bool prefetch = pattern.nnz + pattern.rows > tuning::spgemm_cached_positions;
  const bool tabled =
      pattern.cols <= std::min(work, tuning::spgemm_table_columns) &&
      pattern.cols / tuning::spgemm_table_columns_per_product * a.pattern.rows <= work;
  return {a, b, pattern.nnz <= work && is_canonical(pattern), prefetch, tabled};
}

/// Rows cut into pieces of about equal work, once the products of each are known.
struct Pieces {
  /// indptr[i + 1]: products of row i, `work` of them all.
  Pieces(const std::int64_t* indptr, std::int64_t rows, std::int64_t work) {
    const std::int64_t wanted = pieces_of(work, rows);
    const std::int64_t share = wanted == 1 ? work + rows + 1 : (work + rows) / wanted + 1;
    std::int64_t sum = 0, before = 0;
    for (std::int64_t i = 0; wanted > 1 && i + 1 < rows; ++i) {
      sum += indptr[i + 1] + 1;
      if (sum < share) continue;
      begins.push_back(i + 1);
      products.push_back(before += sum - (i + 1 - begins[begins.size() - 2]));
      sum = 0;
    }
    begins.push_back(rows);
    products.push_back(work);
  }

  std::int64_t count() const { return static_cast<std::int64_t>(begins.size()) - 1; }

  std::vector<std::int64_t> begins{0};    ///< the first row of each, and the number of rows
  std::vector<std::int64_t> products{0};  ///< of the pieces before each, and of all
};

/// Makes the offsets within each piece of rows those of all rows. ends[piece + 1] holds the piece's
/// positions and becomes where they end. Returns the positions of all.
std::int64_t join(const std::vector<std::int64_t>& begins, std::vector<std::int64_t>& ends,
                  std::int64_t* indptr) {
  std::partial_sum(ends.begin(), ends.end(), ends.begin());
  parallel_for(static_cast<std::int64_t>(begins.size()) - 1, [&](std::int64_t at) {
    const std::size_t piece = static_cast<std::size_t>(at);
    if (ends[piece] == 0) return;
    for (std::int64_t i = begins[piece]; i < begins[piece + 1]; ++i) indptr[i + 1] += ends[piece];
  });
  return ends.back();
}

/// Runs body(piece, scratch) for all pieces; a thread keeps its scratch from piece to piece.
template <class Body>
void for_each_piece(std::int64_t pieces, Body&& body) {
  std::atomic<std::int64_t> next{0};
  parallel_for(std::min<std::int64_t>(num_threads(), pieces), [&](std::int64_t) {
    SpgemmScratch scratch;
    for (std::int64_t piece; (piece = next.fetch_add(1)) < pieces;) body(piece, scratch);
  });
}

}  // namespace

std::int64_t spgemm_products_cpu(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr) {
  std::int64_t* const products = indptr + 1;
  const std::int64_t pieces = pieces_of(a.nnz + a.rows, a.rows);
  std::vector<std::int64_t> sums(static_cast<std::size_t>(pieces));
  visit_index(a.index_dtype, "A", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* const offsets = static_cast<const I*>(a.indptr);
    parallel_for(pieces, [&](std::int64_t piece) {
      const std::int64_t begin = balanced_row(offsets, a.rows, piece, pieces);
      const std::int64_t end = balanced_row(offsets, a.rows, piece + 1, pieces);
      count_products(offsets, static_cast<const I*>(a.indices), static_cast<const I*>(b.indptr),
                     begin, end, products + begin);
      sums[static_cast<std::size_t>(piece)] =
          std::accumulate(products + begin, products + end, std::int64_t{0});
    });
  });
  indptr[0] = 0;
  return std::accumulate(sums.begin(), sums.end(), std::int64_t{0});
}

std::int64_t spgemm_count_cpu(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr,
                              std::int64_t work) {
  if (work == 0) return 0;
  CsrView a_view, b_view;
  a_view.pattern = a;
  b_view.pattern = b;
  const SpgemmOperands op = operands_of(a_view, b_view, work);
  const auto count_rows = GOSSAMER_SIMD_FUNCTION(CountRows);
  const Pieces pieces(indptr, a.rows, work);
  std::vector<std::int64_t> offsets(pieces.begins.size());
  for_each_piece(pieces.count(), [&](std::int64_t at, SpgemmScratch& scratch) {
    const std::size_t piece = static_cast<std::size_t>(at);
    const std::int64_t begin = pieces.begins[piece], end = pieces.begins[piece + 1];
    offsets[piece + 1] = count_rows(op, begin, end, indptr + 1, scratch);
    std::partial_sum(indptr + 1 + begin, indptr + 1 + end, indptr + 1 + begin);
  });
  return join(pieces.begins, offsets, indptr);
}

void spgemm_fill_cpu(const CsrView& a, const CsrView& b, const SpgemmResult& c) {
  const std::int64_t rows = a.pattern.rows;
  const std::int64_t nnz = c.indptr[rows];
  if (nnz == 0) return;
  const SpgemmOperands op = operands_of(a, b, nnz);
  const std::int64_t pieces = pieces_of(nnz, rows);
  const auto fill_rows = GOSSAMER_SIMD_FUNCTION(FillRows);
  for_each_piece(pieces, [&](std::int64_t piece, SpgemmScratch& scratch) {
    fill_rows(op, balanced_row(c.indptr, rows, piece, pieces),
              balanced_row(c.indptr, rows, piece + 1, pieces), c, scratch);
  });
}

namespace {

std::int64_t sum_size(DType dtype) {
  return visit_value(dtype, "A", [](auto value) {
    return static_cast<std::int64_t>(sizeof(Accumulator<typename decltype(value)::type>));
  });
}

/// Copies elements, converted where their types differ; past the caches if they are many.
template <class From, class To>
void copy_converted(const void* from, std::int64_t count, void* to, bool streams) {
  if constexpr (std::is_same_v<From, To>) {
    constexpr std::int64_t size = sizeof(To);
    if (streams) return GOSSAMER_SIMD_FUNCTION(StreamBytes)(from, count * size, to);
  }
  const From* const source = static_cast<const From*>(from);
  To* const target = static_cast<To*>(to);
  for (std::int64_t n = 0; n < count; ++n) {
    if constexpr (std::is_integral_v<To>) {
      target[n] = static_cast<To>(source[n]);
    } else {
      target[n] = narrow<To>(source[n]);
    }
  }
}

}  // namespace

SpgemmAtOnce::SpgemmAtOnce(const CsrView& a, const CsrView& b, std::int64_t* indptr)
    : a_(a), b_(b), indptr_(indptr) {
  check_spgemm_values(a, b);
  products_ = spgemm_products_cpu(a.pattern, b.pattern, indptr);
  Pieces pieces(indptr, a.pattern.rows, products_);
  begins_ = std::move(pieces.begins);
  starts_ = std::move(pieces.products);
  for (std::size_t piece = 0; piece < starts_.size(); ++piece) {
    starts_[piece] += static_cast<std::int64_t>(piece) * spgemm_piece_padding;
  }
  starts_.back() += starts_.back() % 2;  // sums of 4 bytes come before columns of 8
}

std::int64_t SpgemmAtOnce::workspace_bytes() const {
  // More than this no memory holds.
  const std::int64_t elements = std::min(starts_.back(), PTRDIFF_MAX / 64);
  const auto index_size = static_cast<std::int64_t>(item_size(a_.pattern.index_dtype));
  return elements * (index_size + sum_size(a_.dtype));
}

std::int64_t SpgemmAtOnce::count() {
  if (counted_) throw InvalidArgument("SpgemmAtOnce.count: rows are counted already");
  counted_ = true;
  return spgemm_count_cpu(a_.pattern, b_.pattern, indptr_, products_);
}

std::int64_t SpgemmAtOnce::compute(void* workspace) {
  workspace_ = {};
  counted_ = true;
  offsets_.assign(begins_.size(), 0);
  const SpgemmWorkspace rows{
      static_cast<std::byte*>(workspace) + starts_.back() * sum_size(a_.dtype), workspace};
  const SpgemmOperands op = operands_of(a_, b_, products_);
  const auto compute_rows = GOSSAMER_SIMD_FUNCTION(ComputeRows);
  for_each_piece(static_cast<std::int64_t>(begins_.size()) - 1,
                 [&](std::int64_t at, SpgemmScratch& scratch) {
                   const std::size_t piece = static_cast<std::size_t>(at);
                   offsets_[piece + 1] = compute_rows(op, begins_[piece], begins_[piece + 1], rows,
                                                      starts_[piece], indptr_, scratch);
                 });
  const std::int64_t nnz = join(begins_, offsets_, indptr_);
  workspace_ = rows;
  return nnz;
}

void SpgemmAtOnce::collect(DType c_index_dtype, void* indices, void* values) const {
  if (workspace_.sums == nullptr) {
    throw InvalidArgument("SpgemmAtOnce.collect: compute comes first");
  }
  check_spgemm_columns(b_.pattern.cols, c_index_dtype);
  const auto item_bytes = static_cast<std::int64_t>(item_size(c_index_dtype) + item_size(a_.dtype));
  const bool streams = offsets_.back() * item_bytes >= tuning::spgemm_streamed_bytes;
  parallel_for(static_cast<std::int64_t>(begins_.size()) - 1, [&](std::int64_t at) {
    const std::size_t piece = static_cast<std::size_t>(at);
    const std::int64_t from = starts_[piece], to = offsets_[piece];
    const std::int64_t count = offsets_[piece + 1] - to;
    visit_index(a_.pattern.index_dtype, "A", [&](auto computed) {
      visit_index(c_index_dtype, "indices", [&](auto kept) {
        using I = typename decltype(computed)::type;
        using J = typename decltype(kept)::type;
        copy_converted<I, J>(static_cast<const I*>(workspace_.columns) + from, count,
                             static_cast<J*>(indices) + to, streams);
      });
    });
    visit_value(a_.dtype, "A", [&](auto value) {
      using T = typename decltype(value)::type;
      using S = Accumulator<T>;
      copy_converted<S, T>(static_cast<const S*>(workspace_.sums) + from, count,
                           static_cast<T*>(values) + to, streams);
    });
  });
}

}  // namespace gossamer
#endif  // HWY_ONCE
