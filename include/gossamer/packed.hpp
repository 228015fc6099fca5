// SPDX-License-Identifier: Apache-2.0
// Packed matrices: formats for 5–90% density, smaller and faster than dense. docs/formats.md has
// every byte.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gossamer/views.hpp"

namespace gossamer {

/// How the positions of a packed matrix are stored.
enum class PackedFormat : std::uint8_t {
  bitmap,  ///< one bit a position
  gap4,    ///< zeros since the slot before, 4 bits a slot; MACKO's format
  gap8,    ///< zeros since the slot before, 8 bits a slot
};

/// All formats, in the order in which counts are given.
inline constexpr std::array<PackedFormat, 3> packed_formats = {
    PackedFormat::bitmap, PackedFormat::gap4, PackedFormat::gap8};

/// An 8-bit float: sign, 4 exponent bits of bias 7, 3 of significand; no infinity, NaN is 0x7f and
/// 0xff.
struct float8_e4m3 {
  std::uint8_t bits;
};

/// The stored value types as X(enumerator, C++ type).
#define GOSSAMER_FOR_EACH_PACKED_DTYPE(X) \
  X(float32, float)                       \
  X(float16, ::gossamer::float16)         \
  X(bfloat16, ::gossamer::bfloat16)       \
  X(int8, std::int8_t)                    \
  X(float8_e4m3, ::gossamer::float8_e4m3)

/// Type of the stored values. The 8-bit types carry one float32 scale a row.
enum class PackedDType : std::uint8_t {
#define GOSSAMER_ENUMERATOR(enumerator, type) enumerator,
  GOSSAMER_FOR_EACH_PACKED_DTYPE(GOSSAMER_ENUMERATOR)
#undef GOSSAMER_ENUMERATOR
};

/// "bitmap", "gap4" or "gap8".
std::string_view name(PackedFormat format);
/// NumPy's name of the type, such as "float32"; "float8_e4m3" is the finite variant ("fn").
std::string_view name(PackedDType dtype);
/// Bytes a value.
std::size_t item_size(PackedDType dtype);
/// Whether each row has a scale: a stored value v of row i means v * scales[i].
bool has_scales(PackedDType dtype);
/// The format of that name. Throws InvalidArgument.
PackedFormat packed_format(std::string_view name);
/// The value type of that name. Throws InvalidDType.
PackedDType packed_dtype(std::string_view name);

/// Lengths of the arrays of a packed matrix.
struct PackedLayout {
  std::int64_t values;     ///< elements; the gap formats pad their slots to a multiple of 8
  std::int64_t positions;  ///< bytes
};

/// The array lengths for `slots` stored slots. Throws InvalidArgument for negative or overflowing
/// sizes.
PackedLayout packed_layout(PackedFormat format, std::int64_t rows, std::int64_t cols,
                           std::int64_t slots);

/// A packed matrix in memory that the caller owns.
struct PackedView {
  PackedFormat format = PackedFormat::bitmap;
  PackedDType dtype = PackedDType::float32;
  DType offset_dtype = DType::int32;  ///< int32 or int64
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t slots = 0;  ///< row_offsets[rows]
  const void* values = nullptr;
  const std::uint8_t* positions = nullptr;
  const void* row_offsets = nullptr;  ///< rows + 1 offsets, counted in slots
  const float* scales = nullptr;      ///< rows elements for the 8-bit types, else null
};

/// Where pack writes; row_offsets are read.
struct PackedOutput {
  PackedFormat format = PackedFormat::bitmap;
  PackedDType dtype = PackedDType::float32;
  DType offset_dtype = DType::int32;
  const void* row_offsets = nullptr;  ///< running sums of the counts, rows + 1
  const float* scales = nullptr;      ///< rows elements for the 8-bit types, else null
  void* values = nullptr;
  std::uint8_t* positions = nullptr;
};

/// Checks every part of a packed matrix that came from outside: offsets that decrease or do not
/// fit, counts that disagree with the bitmap, bits or gaps past a row's end, padding and scales.
///
/// The array lengths must already be those of packed_layout. Returns the number of stored nonzeros
/// (slots less fillers). Throws InvalidArgument naming the first wrong element.
std::int64_t validate(const PackedView& packed);

/// First phase of packing: slots of each row in each of packed_formats, in one pass.
///
/// dense is (m, n) of float32, float16 or bfloat16, any strides; elements with |x| > threshold are
/// kept, NaN included. counts: (formats, m) in C order, written. Throws InvalidArgument for another
/// rank, a shape that packed_layout refuses and a negative or NaN threshold, InvalidDType for other
/// types; so do the functions that follow.
void count_packed(const ArrayView& dense, double threshold, std::int64_t* counts);
/// The same for a CSR matrix with sorted rows and no duplicates, or for its transpose, of which a
/// thread has a block of rows dense at a time; throws InvalidArgument for others.
void count_packed(const CsrView& csr, double threshold, std::int64_t* counts,
                  bool transpose = false);

/// Scales that map each row's largest kept magnitude to the largest value of an 8-bit type; 1 for
/// rows of zeros. scales: m elements, written. Throws InvalidArgument for infinite or NaN elements,
/// InvalidDType for a type without scales.
void row_scales(const ArrayView& dense, double threshold, PackedDType dtype, float* scales);
void row_scales(const CsrView& csr, double threshold, PackedDType dtype, float* scales,
                bool transpose = false);

/// Second phase: writes values and positions. Values are rounded to the nearest, ties to even;
/// 8-bit types are divided by the row's scale and saturate. Throws InvalidArgument for offsets that
/// do not fit the counts, for scales that are missing, not asked for, or not positive and finite,
/// and for an element that is not finite where the type cannot hold it.
void pack(const ArrayView& dense, double threshold, const PackedOutput& packed);
void pack(const CsrView& csr, double threshold, const PackedOutput& packed, bool transpose = false);

/// Writes the matrix into dense (m, n) of float32, float16 or bfloat16, any strides, zeros
/// included. Throws InvalidArgument for another shape, InvalidDType for other types.
void unpack(const PackedView& packed, const ArrayView& dense);

/// First phase of unpacking to CSR: row offsets of the stored nonzeros (fillers dropped), rows + 1
/// elements of index_dtype, written. Returns their number. Throws InvalidArgument if it does not
/// fit index_dtype.
std::int64_t count_unpacked(const PackedView& packed, DType index_dtype, void* indptr);
/// Second phase: columns and values (float32, float16 or bfloat16), rows in order. Throws
/// InvalidArgument for offsets that count_unpacked did not write, InvalidDType for other types.
void unpack(const PackedView& packed, DType index_dtype, const void* indptr, void* indices,
            DType dtype, void* values);

/// Y = P X, or Pᵀ X if transpose.
///
/// P is m×n. X has shape (n), (n, k) or (..., n, k), Y (m), (m, k) or (..., m, k); for Pᵀ m and n
/// change places. X and Y are float32, float16 or bfloat16 each, any strides; sums run in float32.
/// A zero slot contributes nothing, whatever X holds there; stored values follow IEEE arithmetic.
/// Scratch: X in float32, what packed_matmul_tuning.hpp states a thread, and for Pᵀ a fixed number
/// of partial results. Throws InvalidArgument for shapes that do not fit, InvalidDType for types
/// that do not.
void packed_matmul(const PackedView& packed, const ArrayView& x, const ArrayView& y,
                   bool transpose = false);

namespace reference {

/// The obvious loop in double: what packed_matmul is tested against.
void packed_matmul(const PackedView& packed, const ArrayView& x, const ArrayView& y,
                   bool transpose = false);

}  // namespace reference
}  // namespace gossamer
