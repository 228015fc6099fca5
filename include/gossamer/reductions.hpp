// SPDX-License-Identifier: Apache-2.0
// Reductions of rows to one element each that are no sums of all their values.
#pragma once

#include <cstdint>

#include "gossamer/views.hpp"

namespace gossamer {

enum class Extreme { largest, smallest };

/// The largest or smallest element of every row, NaN where one is. Elements that are not stored
/// count as zeros, and a zero that is stored and one that is not give the positive one.
///
/// A stores no position twice, and has columns. extremes: an element of A's dtype for each row,
/// written. Throws InvalidDType for complex values, which have no order, InvalidArgument where
/// there are rows and no columns.
void row_extremes(const CsrView& a, Extreme extreme, void* extremes);

/// The elements (i, i + k) from the first row on that has one: diagonal_length of them, written.
/// Duplicates are summed in stored order, 16-bit types in float32.
///
/// Where the columns of each row are `sorted`, long rows are searched by halves. Throws
/// InvalidDType for what is no value or index dtype.
void diagonal(const CsrView& a, std::int64_t k, bool sorted, void* elements);

/// Number of elements (i, i + k) that a matrix of this shape has.
std::int64_t diagonal_length(const CsrPattern& pattern, std::int64_t k);

namespace reference {

/// The obvious loops: what the above is tested against.
void row_extremes(const CsrView& a, Extreme extreme, void* extremes);
void diagonal(const CsrView& a, std::int64_t k, void* elements);

}  // namespace reference
}  // namespace gossamer
