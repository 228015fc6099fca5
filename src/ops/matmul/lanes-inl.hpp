// SPDX-License-Identifier: Apache-2.0
// Vectors of a row of X or Y, widened to the accumulator. Included once for each SIMD target.
#if defined(GOSSAMER_OPS_MATMUL_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_MATMUL_LANES_INL_HPP
#undef GOSSAMER_OPS_MATMUL_LANES_INL_HPP
#else
#define GOSSAMER_OPS_MATMUL_LANES_INL_HPP
#endif

#include <hwy/highway.h>

#include <complex>
#include <cstdint>
#include <type_traits>

#include "core/scalar.hpp"
#include "simd/load-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class T>
using Real = decltype(std::real(Accumulator<T>()));

/// Writes the first `count` accumulators to y, rounding to T.
template <class D, class T>
HWY_INLINE void store(hn::Vec<D> sum, D d, T* y, std::int64_t count) {
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  if constexpr (is_16bit<T>) {
    HWY_ALIGN float sums[lanes];
    hn::Store(sum, d, sums);
    for (std::int64_t c = 0; c < count; ++c) y[c] = narrow<T>(sums[c]);
  } else if (count == lanes) {
    hn::StoreU(sum, d, y);
  } else {
    hn::BlendedStore(sum, hn::FirstN(d, static_cast<std::size_t>(count)), d, y);
  }
}

/// A block of columns: `Vectors` vectors of D's lanes, of which the last holds `tail` when Partial.
template <class D, int Vectors, bool Partial>
struct Block {
  using Tag = D;
  static constexpr int vectors = Vectors, loads = Vectors;
  static constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  static constexpr std::size_t bytes = Vectors * hn::MaxLanes(D()) * sizeof(hn::TFromD<D>);
  std::int64_t tail;
  bool streams;  ///< the result goes past the caches

  HWY_INLINE std::int64_t width(int v) const { return Partial && v == Vectors - 1 ? tail : lanes; }

  template <class T>
  HWY_INLINE hn::Vec<D> load_vector(const T* row, int v) const {
    if (Partial && v == Vectors - 1) return load_first(D(), row + v * lanes, tail);
    return load(D(), row + v * lanes);
  }

  template <class T>
  HWY_INLINE void store_vector(hn::Vec<D> sum, T* row, int v) const {
    if constexpr (!Partial && std::is_same_v<T, hn::TFromD<D>>) {
      if (streams) return hn::Stream(sum, D(), row + v * lanes);
    }
    store(sum, D(), row + v * lanes, width(v));
  }

  template <class T>
  HWY_INLINE void store_vectors(const hn::Vec<D> (&sums)[loads], T* row) const {
    for (int v = 0; v < Vectors; ++v) store_vector(sums[v], row, v);
  }
};

/// Whole vectors of columns whose rows in X all begin `shift` elements past a cache line. Taken are
/// the lines themselves, one more than there are vectors and under masks at both ends, as a load
/// that straddles lines costs two; so rows of X and Y begin `shift` elements before the columns.
template <class D, int Vectors>
struct ShiftedBlock {
  using Tag = D;
  static constexpr int vectors = Vectors, loads = Vectors + 1;
  static constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  static constexpr std::size_t bytes = loads * hn::MaxLanes(D()) * sizeof(hn::TFromD<D>);
  hn::Mask<D> first, last;

  HWY_INLINE explicit ShiftedBlock(std::int64_t shift)
      : first(hn::Not(hn::FirstN(D(), static_cast<std::size_t>(shift)))),
        last(hn::FirstN(D(), static_cast<std::size_t>(shift))) {}

  template <class T>
  HWY_INLINE hn::Vec<D> load_vector(const T* row, int v) const {
    if (v == 0) return hn::MaskedLoad(first, D(), row);
    if (v == Vectors) return hn::MaskedLoad(last, D(), row + v * lanes);
    return hn::LoadU(D(), row + v * lanes);
  }

  template <class T>
  HWY_INLINE void store_vectors(const hn::Vec<D> (&sums)[loads], T* row) const {
    hn::BlendedStore(sums[0], first, D(), row);
    for (int v = 1; v < Vectors; ++v) hn::StoreU(sums[v], D(), row + v * lanes);
    hn::BlendedStore(sums[Vectors], last, D(), row + Vectors * lanes);
  }
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
