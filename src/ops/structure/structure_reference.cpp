// SPDX-License-Identifier: Apache-2.0
#include "ops/structure/structure_reference.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "core/scalar.hpp"
#include "core/visit.hpp"

namespace gossamer::reference {
namespace {

using Position = std::pair<std::int64_t, std::int64_t>;

template <class I>
std::vector<Position> positions(const CooPattern& coo) {
  std::vector<Position> list;
  for (std::int64_t p = 0; p < coo.nnz; ++p) {
    list.emplace_back(static_cast<const I*>(coo.row)[p], static_cast<const I*>(coo.col)[p]);
  }
  return list;
}

template <class I>
std::vector<Position> positions(const CsrPattern& pattern) {
  const I* indptr = static_cast<const I*>(pattern.indptr);
  std::vector<Position> list;
  for (std::int64_t i = 0; i < pattern.rows; ++i) {
    for (I p = indptr[i]; p < indptr[i + 1]; ++p) {
      list.emplace_back(i, static_cast<const I*>(pattern.indices)[p]);
    }
  }
  return list;
}

PatternProperties properties_of(const std::vector<Position>& list) {
  const bool sorted = std::is_sorted(list.begin(), list.end());
  return {sorted, sorted && std::adjacent_find(list.begin(), list.end()) == list.end()};
}

template <class I>
void write_offsets(const std::vector<Position>& list, std::int64_t rows, void* indptr) {
  I* offsets = static_cast<I*>(indptr);
  std::fill(offsets, offsets + rows + 1, I(0));
  for (const Position& position : list) ++offsets[position.first + 1];
  std::partial_sum(offsets, offsets + rows + 1, offsets);
}

/// Writes the positions in the order of `before`, stable, and where each came from.
template <class I, class Before>
void write_ordered(const std::vector<Position>& list, std::int64_t rows, Before before,
                   void* indptr, void* indices, void* map) {
  std::vector<std::size_t> order(list.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return before(list[a], list[b]); });
  if (indptr != nullptr) write_offsets<I>(list, rows, indptr);
  for (std::size_t p = 0; p < order.size(); ++p) {
    static_cast<I*>(indices)[p] = static_cast<I>(list[order[p]].second);
    if (map != nullptr) static_cast<I*>(map)[p] = static_cast<I>(order[p]);
  }
}

constexpr auto by_row = [](const Position& a, const Position& b) { return a.first < b.first; };
constexpr auto by_row_and_column = [](const Position& a, const Position& b) { return a < b; };

template <class Body>
void with_index(DType dtype, Body&& body) {
  visit_index(dtype, "indices", body);
}

double magnitude(const ArrayView& dense, std::int64_t i, std::int64_t j) {
  const std::int64_t at = i * dense.strides[0] + j * dense.strides[1];
  return visit_value(dense.dtype, "dense", [&](auto value) -> double {
    const auto x = widen(static_cast<const typename decltype(value)::type*>(dense.data)[at]);
    return std::hypot(static_cast<double>(std::real(x)), static_cast<double>(std::imag(x)));
  });
}

bool is_kept(const ArrayView& dense, std::int64_t i, std::int64_t j, double threshold) {
  return !(magnitude(dense, i, j) <= threshold);
}

}  // namespace

PatternProperties properties(const CooPattern& pattern) {
  return visit_index(pattern.index_dtype, "row", [&](auto index) {
    return properties_of(positions<typename decltype(index)::type>(pattern));
  });
}

PatternProperties properties(const CsrPattern& pattern) {
  return visit_index(pattern.index_dtype, "indices", [&](auto index) {
    return properties_of(positions<typename decltype(index)::type>(pattern));
  });
}

void transpose(const CsrPattern& pattern, void* indptr, void* indices, void* map) {
  with_index(pattern.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    std::vector<Position> list = positions<I>(pattern);
    for (Position& position : list) std::swap(position.first, position.second);
    write_ordered<I>(list, pattern.cols, by_row, indptr, indices, map);
  });
}

void coo_to_csr(const CooPattern& coo, bool sorted, void* indptr, void* indices, void* map) {
  with_index(coo.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    const std::vector<Position> list = positions<I>(coo);
    if (sorted) {
      write_ordered<I>(list, coo.rows, by_row_and_column, indptr, indices, map);
    } else {
      write_ordered<I>(list, coo.rows, by_row, indptr, indices, map);
    }
  });
}

void csr_to_coo(const CsrPattern& pattern, void* row) {
  with_index(pattern.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    I* out = static_cast<I*>(row);
    for (const Position& position : positions<I>(pattern)) *out++ = static_cast<I>(position.first);
  });
}

void sort_indices(const CsrPattern& pattern, void* indices, void* map) {
  with_index(pattern.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    write_ordered<I>(positions<I>(pattern), pattern.rows, by_row_and_column, nullptr, indices, map);
  });
}

std::int64_t count_distinct(const CsrPattern& sorted, void* indptr) {
  std::int64_t count = 0;
  with_index(sorted.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    const std::vector<Position> list = positions<I>(sorted);
    const std::set<Position> distinct(list.begin(), list.end());
    write_offsets<I>({distinct.begin(), distinct.end()}, sorted.rows, indptr);
    count = static_cast<std::int64_t>(distinct.size());
  });
  return count;
}

void fill_distinct(const CsrPattern& sorted, const void*, void* indices, void* segments) {
  with_index(sorted.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    const std::vector<Position> list = positions<I>(sorted);
    I* columns = static_cast<I*>(indices);
    I* starts = static_cast<I*>(segments);
    for (std::size_t p = 0; p < list.size(); ++p) {
      if (p > 0 && list[p] == list[p - 1]) continue;
      *columns++ = static_cast<I>(list[p].second);
      *starts++ = static_cast<I>(p);
    }
    *starts = static_cast<I>(list.size());
  });
}

void select_rows(const CsrPattern& pattern, const std::int64_t* rows, std::int64_t count,
                 const void*, void* indices, void* map) {
  with_index(pattern.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    const I* indptr = static_cast<const I*>(pattern.indptr);
    std::int64_t next = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      for (I p = indptr[rows[i]]; p < indptr[rows[i] + 1]; ++p) {
        static_cast<I*>(indices)[next] = static_cast<const I*>(pattern.indices)[p];
        static_cast<I*>(map)[next++] = p;
      }
    }
  });
}

namespace {

/// The number of each column that a range holds.
std::map<std::int64_t, std::int64_t> numbers_of(const IndexRange& range) {
  std::map<std::int64_t, std::int64_t> numbers;
  for (std::int64_t column = range.begin; range.step > 0 ? column < range.end : column > range.end;
       column += range.step) {
    numbers.emplace(column, static_cast<std::int64_t>(numbers.size()));
  }
  return numbers;
}

}  // namespace

std::int64_t count_columns(const CsrPattern& pattern, const IndexRange& columns, void* indptr) {
  const auto numbers = numbers_of(columns);
  std::int64_t count = 0;
  with_index(pattern.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    std::vector<Position> kept;
    for (const Position& position : positions<I>(pattern)) {
      if (numbers.contains(position.second)) kept.push_back(position);
    }
    write_offsets<I>(kept, pattern.rows, indptr);
    count = static_cast<std::int64_t>(kept.size());
  });
  return count;
}

void fill_columns(const CsrPattern& pattern, const IndexRange& columns, const void*, void* indices,
                  void* map) {
  const auto numbers = numbers_of(columns);
  with_index(pattern.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    const I* indptr = static_cast<const I*>(pattern.indptr);
    std::int64_t next = 0;
    for (std::int64_t i = 0; i < pattern.rows; ++i) {
      std::vector<I> order;
      for (I p = indptr[i]; p < indptr[i + 1]; ++p) order.push_back(p);
      if (columns.step < 0) std::reverse(order.begin(), order.end());
      for (const I p : order) {
        const auto number = numbers.find(static_cast<const I*>(pattern.indices)[p]);
        if (number == numbers.end()) continue;
        static_cast<I*>(indices)[next] = static_cast<I>(number->second);
        static_cast<I*>(map)[next++] = p;
      }
    }
  });
}

std::int64_t count_picked_columns(const CsrPattern& pattern, const CsrPattern& targets,
                                  void* indptr) {
  std::int64_t count = 0;
  with_index(pattern.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    const std::vector<Position> list = positions<I>(targets);
    const std::multimap<std::int64_t, std::int64_t> numbers(list.begin(), list.end());
    std::vector<Position> kept;
    for (const auto& [row, column] : positions<I>(pattern)) {
      kept.insert(kept.end(), numbers.count(column), Position{row, 0});
    }
    write_offsets<I>(kept, pattern.rows, indptr);
    count = static_cast<std::int64_t>(kept.size());
  });
  return count;
}

void fill_picked_columns(const CsrPattern& pattern, const CsrPattern& targets, const void*,
                         void* indices, void* map) {
  with_index(pattern.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    const std::vector<Position> list = positions<I>(targets);
    const std::multimap<std::int64_t, std::int64_t> numbers(list.begin(), list.end());
    I* const first = static_cast<I*>(indices);
    I* next = first;
    for (std::int64_t p = 0; p < pattern.nnz; ++p) {
      const auto [from, to] = numbers.equal_range(static_cast<const I*>(pattern.indices)[p]);
      for (auto number = from; number != to; ++number) {
        static_cast<I*>(map)[next - first] = static_cast<I>(p);
        *next++ = static_cast<I>(number->second);
      }
    }
  });
}

std::int64_t count_union(const CsrPattern& a, const CsrPattern& b, void* indptr) {
  std::int64_t count = 0;
  with_index(a.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    const std::vector<Position> in_a = positions<I>(a), in_b = positions<I>(b);
    std::set<Position> both(in_a.begin(), in_a.end());
    both.insert(in_b.begin(), in_b.end());
    write_offsets<I>({both.begin(), both.end()}, a.rows, indptr);
    count = static_cast<std::int64_t>(both.size());
  });
  return count;
}

void fill_union(const CsrPattern& a, const CsrPattern& b, const void*, void* indices, void* from_a,
                void* from_b) {
  with_index(a.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    std::map<Position, std::pair<std::int64_t, std::int64_t>> both;
    std::int64_t p = 0;
    for (const Position& position : positions<I>(a)) both[position] = {p++, -1};
    p = 0;
    for (const Position& position : positions<I>(b)) {
      both.try_emplace(position, -1, -1).first->second.second = p++;
    }
    p = 0;
    for (const auto& [position, from] : both) {
      static_cast<I*>(indices)[p] = static_cast<I>(position.second);
      static_cast<I*>(from_a)[p] = static_cast<I>(from.first);
      static_cast<I*>(from_b)[p] = static_cast<I>(from.second);
      ++p;
    }
  });
}

std::int64_t count_intersection(const CsrPattern& a, const CsrPattern& b, void* indptr) {
  std::int64_t count = 0;
  with_index(a.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    const std::vector<Position> in_a = positions<I>(a), in_b = positions<I>(b);
    std::vector<Position> both;
    std::set_intersection(in_a.begin(), in_a.end(), in_b.begin(), in_b.end(),
                          std::back_inserter(both));
    write_offsets<I>(both, a.rows, indptr);
    count = static_cast<std::int64_t>(both.size());
  });
  return count;
}

void fill_intersection(const CsrPattern& a, const CsrPattern& b, const void*, void* indices,
                       void* from_a, void* from_b) {
  with_index(a.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    std::map<Position, std::int64_t> numbers;
    for (const Position& position : positions<I>(b)) {
      numbers.emplace(position, static_cast<std::int64_t>(numbers.size()));
    }
    std::int64_t p = -1, to = 0;
    for (const Position& position : positions<I>(a)) {
      ++p;
      const auto found = numbers.find(position);
      if (found == numbers.end()) continue;
      static_cast<I*>(indices)[to] = static_cast<I>(position.second);
      static_cast<I*>(from_a)[to] = static_cast<I>(p);
      static_cast<I*>(from_b)[to++] = static_cast<I>(found->second);
    }
  });
}

void hstack(std::span<const CsrPattern> blocks, void* indptr, void* indices, void* map) {
  with_index(blocks[0].index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    I* const offsets = static_cast<I*>(indptr);
    std::int64_t to = 0;
    for (std::int64_t i = 0; i < blocks[0].rows; ++i) {
      offsets[i] = static_cast<I>(to);
      std::int64_t column = 0, position = 0;
      for (const CsrPattern& block : blocks) {
        const I* const from = static_cast<const I*>(block.indptr);
        for (I p = from[i]; p < from[i + 1]; ++p) {
          static_cast<I*>(indices)[to] =
              static_cast<I>(column + static_cast<const I*>(block.indices)[p]);
          static_cast<I*>(map)[to++] = static_cast<I>(position + p);
        }
        column += block.cols;
        position += block.nnz;
      }
    }
    offsets[blocks[0].rows] = static_cast<I>(to);
  });
}

void kron(const CsrPattern& a, const CsrPattern& b, void* indptr, void* indices, void* map) {
  with_index(a.index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    const std::vector<Position> in_a = positions<I>(a), in_b = positions<I>(b);
    std::int64_t to = 0;
    for (std::int64_t i = 0; i < a.rows * b.rows; ++i) {
      static_cast<I*>(indptr)[i] = static_cast<I>(to);
      for (std::size_t p = 0; p < in_a.size(); ++p) {
        for (std::size_t q = 0; q < in_b.size(); ++q) {
          if (in_a[p].first * b.rows + in_b[q].first != i) continue;
          static_cast<I*>(indices)[to] = static_cast<I>(in_a[p].second * b.cols + in_b[q].second);
          static_cast<I*>(map)[to++] = static_cast<I>(p * in_b.size() + q);
        }
      }
    }
    static_cast<I*>(indptr)[a.rows * b.rows] = static_cast<I>(to);
  });
}

std::int64_t count_nonzeros(const ArrayView& dense, double threshold, DType index_dtype,
                            void* indptr) {
  std::int64_t count = 0;
  with_index(index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    I* offsets = static_cast<I*>(indptr);
    *offsets++ = 0;
    for (std::int64_t i = 0; i < dense.shape[0]; ++i) {
      for (std::int64_t j = 0; j < dense.shape[1]; ++j) count += is_kept(dense, i, j, threshold);
      *offsets++ = static_cast<I>(count);
    }
  });
  return count;
}

void fill_nonzeros(const ArrayView& dense, double threshold, DType index_dtype, const void*,
                   void* indices, void* values) {
  with_index(index_dtype, [&](auto index) {
    visit_value(dense.dtype, "dense", [&](auto value) {
      using I = typename decltype(index)::type;
      using T = typename decltype(value)::type;
      I* columns = static_cast<I*>(indices);
      T* out = static_cast<T*>(values);
      for (std::int64_t i = 0; i < dense.shape[0]; ++i) {
        for (std::int64_t j = 0; j < dense.shape[1]; ++j) {
          if (!is_kept(dense, i, j, threshold)) continue;
          *columns++ = static_cast<I>(j);
          *out++ = static_cast<const T*>(dense.data)[i * dense.strides[0] + j * dense.strides[1]];
        }
      }
    });
  });
}

void todense(const CsrView& a, const ArrayView& dense) {
  with_index(a.pattern.index_dtype, [&](auto index) {
    visit_value(a.dtype, "data", [&](auto value) {
      using I = typename decltype(index)::type;
      using T = typename decltype(value)::type;
      std::map<Position, Accumulator<T>> sums;
      const T* values = static_cast<const T*>(a.values);
      for (const Position& position : positions<I>(a.pattern)) {
        sums[position] += widen(*values);
        ++values;
      }
      T* out = static_cast<T*>(dense.data);
      for (std::int64_t i = 0; i < dense.shape[0]; ++i) {
        for (std::int64_t j = 0; j < dense.shape[1]; ++j) {
          const auto sum = sums.find({i, j});
          out[i * dense.strides[0] + j * dense.strides[1]] =
              sum == sums.end() ? T{} : narrow<T>(sum->second);
        }
      }
    });
  });
}

void fill_diagonals(std::int64_t rows, std::int64_t cols, std::span<const Diagonal> diagonals,
                    DType index_dtype, void* indptr, void* indices, void* map) {
  with_index(index_dtype, [&](auto index) {
    using I = typename decltype(index)::type;
    std::int64_t next = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      static_cast<I*>(indptr)[i] = static_cast<I>(next);
      for (const Diagonal& diagonal : diagonals) {
        const std::int64_t j = i + diagonal.offset;
        if (j < 0 || j >= cols) continue;
        static_cast<I*>(indices)[next] = static_cast<I>(j);
        static_cast<I*>(map)[next++] =
            static_cast<I>(diagonal.first + diagonal.step * std::min(i, j));
      }
    }
    static_cast<I*>(indptr)[rows] = static_cast<I>(next);
  });
}

}  // namespace gossamer::reference
