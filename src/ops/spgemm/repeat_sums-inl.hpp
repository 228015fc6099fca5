// SPDX-License-Identifier: Apache-2.0
// The sums of rows of C that repeat an earlier row: which products meet in which element is found
// once for each shape, as steps of whole vectors. Included once for each SIMD target.
#if defined(GOSSAMER_OPS_SPGEMM_REPEAT_SUMS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_SPGEMM_REPEAT_SUMS_INL_HPP
#undef GOSSAMER_OPS_SPGEMM_REPEAT_SUMS_INL_HPP
#else
#define GOSSAMER_OPS_SPGEMM_REPEAT_SUMS_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <type_traits>

#include "ops/spgemm/operands-inl.hpp"
#include "ops/spgemm/scratch.hpp"
#include "ops/spgemm/sort-inl.hpp"
#include "ops/spgemm/spgemm_tuning.hpp"
#include "ops/spgemm/window-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// What one row of B adds to one vector of a row of C.
struct SumStep {
  std::int32_t entry;   ///< of A's row
  std::int32_t offset;  ///< of the first value in B's row
  std::int32_t vector;  ///< of C's row
  std::uint16_t lanes;  ///< a bit for each element that a value is added to
  std::uint16_t last;   ///< whether the next step belongs to another vector
};

/// Whether a row's sums are made of such steps: elsewhere no instruction spreads values over lanes,
/// and eight doubles at once are no quicker than one by one.
template <class T>
inline constexpr bool sums_by_steps = HWY_TARGET <= HWY_AVX3 && std::is_same_v<T, float>;

/// Elements of a vector of C's row.
constexpr std::int64_t step_lanes = 16;

/// Finds the steps to the `count` elements of row i of C, those of a vector one after the other and
/// in the order of A's row. elements[p]: which of them product p belongs to; rows of B are
/// canonical. Returns whether the steps are few enough to pay.
template <class T, class I>
bool plan_steps(const Typed<T, I>& op, std::int64_t i, std::int64_t products, std::int64_t count,
                const Element* HWY_RESTRICT elements, ScratchMemory& planned,
                SpgemmScratch& scratch) {
  constexpr std::uint32_t lanes = step_lanes;
  SumStep* const found = scratch.keys.reserve<SumStep>(products);
  const std::int64_t most =
      std::max(tuning::spgemm_few_steps, products / tuning::spgemm_products_per_step);
  std::int64_t steps = 0;
  for_each_operand_row(op, i, [&](std::int64_t p, std::int64_t begin, std::int64_t end) {
    if (steps > most) return;
    // Without branches: where a vector ends no processor foresees.
    SumStep step{static_cast<std::int32_t>(p - op.a_indptr[i]), 0, -1, 0, 0};
    --steps;
    for (std::int64_t q = 0; q < end - begin; ++q) {
      const std::uint32_t element = static_cast<std::uint32_t>(elements[q]);
      const auto vector = static_cast<std::int32_t>(element / lanes);
      const bool next = vector != step.vector;
      step.offset = next ? static_cast<std::int32_t>(q) : step.offset;
      step.vector = vector;
      step.lanes = static_cast<std::uint16_t>((next ? 0u : step.lanes) | 1u << element % lanes);
      steps += next;
      found[steps] = step;
    }
    ++steps;
    elements += end - begin;
  });
  if (steps > most) return false;
  const std::int64_t vectors = (count - 1) / step_lanes + 1;
  std::int32_t* const ends = scratch.numbers.reserve<std::int32_t>(vectors + 1);
  std::fill_n(ends, vectors + 1, 0);
  for (std::int64_t s = 0; s < steps; ++s) ++ends[found[s].vector + 1];
  std::partial_sum(ends, ends + vectors + 1, ends);
  SumStep* const sorted = planned.reserve<SumStep>(steps);
  for (std::int64_t s = 0; s < steps; ++s) sorted[ends[found[s].vector]++] = found[s];
  for (std::int64_t v = 0; v < vectors; ++v) sorted[ends[v] - 1].last = 1;
  return true;
}

/// sum + scale * value in the lanes, which take consecutive values in order.
template <class V>
HWY_INLINE V add_to_lanes([[maybe_unused]] V sum, [[maybe_unused]] float scale,
                          [[maybe_unused]] const float* values,
                          [[maybe_unused]] std::uint16_t lanes) {
#if HWY_TARGET <= HWY_AVX3
  const __m512 spread = _mm512_maskz_expandloadu_ps(lanes, values);
  return V{_mm512_mask3_fmadd_ps(_mm512_set1_ps(scale), spread, sum.raw, lanes)};
#endif
}

/// Writes the `count` sums of row i of C, up to whole vectors.
template <class T, class I>
HWY_INLINE void add_steps(const Typed<T, I>& op, std::int64_t i, std::int64_t count,
                          const SumStep* HWY_RESTRICT step, T* HWY_RESTRICT sums) {
  const hn::CappedTag<T, step_lanes> d;
  const I* const entries = op.a_indices + op.a_indptr[i];
  const T* const scales = op.a_values + op.a_indptr[i];
  for (std::int64_t at = 0; at < count; at += step_lanes) {
    auto sum = hn::Set(d, untouched<T>);
    do {
      const T* const values = op.b_values + (op.b_indptr[entries[step->entry]] + step->offset);
      sum = add_to_lanes(sum, scales[step->entry], values, step->lanes);
    } while ((step++)->last == 0);
    hn::StoreU(sum, d, sums + at);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
