// SPDX-License-Identifier: Apache-2.0
// Matrices side by side, in one pass over all of them.
#include <vector>

#include "core/message.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/payload.hpp"
#include "ops/structure/structure_tuning.hpp"

namespace gossamer {
namespace {

/// A matrix that is stacked, and what stands before it.
struct Placed {
  const CsrPattern* pattern;
  Payload payload;  ///< out is the result's
  std::int64_t first_column = 0, first_position = 0;
};

/// Checks that the blocks fit each other, and places them.
std::vector<Placed> placed(std::span<const CsrPattern* const> patterns) {
  if (patterns.empty()) throw InvalidArgument("hstack: no blocks, expected at least one");
  const CsrPattern& first = *patterns[0];
  std::vector<Placed> blocks;
  std::int64_t cols = 0, nnz = 0;
  for (const CsrPattern* pattern : patterns) {
    if (pattern->rows != first.rows) {
      throw InvalidArgument(message("hstack: a block has ", pattern->rows, " rows and the first ",
                                    first.rows, "; they must be equal"));
    }
    if (pattern->index_dtype != first.index_dtype) {
      throw InvalidDType(message("hstack: a block has ", name(pattern->index_dtype),
                                 " indices and the first ", name(first.index_dtype),
                                 "; they must be the same"));
    }
    blocks.push_back({pattern, {}, cols, nnz});
    cols += pattern->cols;
    nnz += pattern->nnz;
  }
  check_index_range("hstack", first.index_dtype, first.rows, cols, nnz);
  return blocks;
}

template <class I, class E>
void stack(const std::vector<Placed>& blocks, I* offsets, I* indices) {
  const std::int64_t rows = blocks[0].pattern->rows;
  parallel_ranges(rows + 1, tuning::stream_grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      I sum = 0;
      for (const Placed& block : blocks) {
        sum = static_cast<I>(sum + static_cast<const I*>(block.pattern->indptr)[i]);
      }
      offsets[i] = sum;
    }
  });
  const std::int64_t pieces = (offsets[rows] + rows) / tuning::stream_grain + 1;
  for_row_pieces(offsets, rows, pieces, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      std::int64_t to = offsets[i];
      for (const Placed& block : blocks) {
        const I* const indptr = static_cast<const I*>(block.pattern->indptr);
        const I* const columns = static_cast<const I*>(block.pattern->indices);
        const I shift = static_cast<I>(block.first_column);
        for (std::int64_t p = indptr[i]; p < indptr[i + 1]; ++p, ++to) {
          indices[to] = static_cast<I>(columns[p] + shift);
          // An index map numbers the positions of all blocks through.
          const std::int64_t from = block.payload.in == nullptr ? block.first_position + p : p;
          store_element<E>(block.payload.out, to, initial_element<E>(block.payload.in, from));
        }
      }
    }
  });
}

void stack(const std::vector<Placed>& blocks, void* indptr, void* indices) {
  visit_index(blocks[0].pattern->index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    visit_payload(blocks[0].payload, [&](auto payload) {
      using E = typename decltype(payload)::type;
      stack<I, E>(blocks, static_cast<I*>(indptr), static_cast<I*>(indices));
    });
  });
}

}  // namespace

void hstack(std::span<const CsrPattern> patterns, void* indptr, void* indices, void* map) {
  std::vector<const CsrPattern*> each;
  for (const CsrPattern& pattern : patterns) each.push_back(&pattern);
  std::vector<Placed> blocks = placed(each);
  for (Placed& block : blocks) block.payload = index_map(patterns[0].index_dtype, map);
  stack(blocks, indptr, indices);
}

void hstack(std::span<const CsrView> matrices, void* indptr, void* indices, void* values) {
  std::vector<const CsrPattern*> each;
  for (const CsrView& matrix : matrices) each.push_back(&matrix.pattern);
  std::vector<Placed> blocks = placed(each);
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    if (matrices[b].dtype != matrices[0].dtype) {
      throw InvalidDType(message("hstack: a block has ", name(matrices[b].dtype),
                                 " values and the first ", name(matrices[0].dtype),
                                 "; they must be the same"));
    }
    blocks[b].payload = {matrices[b].values, values, item_size(matrices[b].dtype)};
  }
  stack(blocks, indptr, indices);
}

}  // namespace gossamer
