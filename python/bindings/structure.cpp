// SPDX-License-Identifier: Apache-2.0
#include "gossamer/structure.hpp"

#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "gossamer/errors.hpp"
#include "module.hpp"
#include "patterns.hpp"

namespace gossamer::python {
namespace {

using OptionalOutput = std::optional<OutputArray>;

std::pair<bool, bool> as_pair(PatternProperties properties) {
  return {properties.sorted_indices, properties.canonical};
}

void* optional_data(const OptionalOutput& array, std::int64_t length, DType dtype,
                    const char* argument) {
  return array ? vector_data(*array, length, dtype, argument) : nullptr;
}

const void* row_offsets(const InputArray& indptr, const CsrPattern& pattern) {
  return vector_data(indptr, pattern.rows + 1, pattern.index_dtype, "indptr");
}

void* row_offsets(const OutputArray& indptr, std::int64_t rows, DType dtype) {
  return vector_data(indptr, rows + 1, dtype, "indptr");
}

void bind_validation(nb::module_& m) {
  m.def(
      "validate_csr",
      [](const PyCsrPattern& pattern, bool csc) {
        return as_pair(run_engine(pattern.view.nnz + pattern.view.rows,
                                  [&] { return validate(pattern.view, csc); }));
      },
      nb::arg("pattern"), nb::arg("csc") = false,
      "Check every offset and index; return (sorted_indices, canonical).");
  m.def(
      "validate_coo",
      [](std::int64_t rows, std::int64_t cols, const InputArray& row, const InputArray& col) {
        const CooPattern coo = coo_pattern(rows, cols, row, col);
        return as_pair(run_engine(coo.nnz, [&] { return validate(coo); }));
      },
      nb::arg("rows"), nb::arg("cols"), nb::arg("row"), nb::arg("col"),
      "Check every index; return (sorted_indices, canonical).");
}

void bind_transpose(nb::module_& m) {
  m.def(
      "transpose",
      [](const PyCsrPattern& pattern, const OutputArray& indptr, const OutputArray& indices,
         const OptionalOutput& map) {
        const CsrPattern& p = pattern.view;
        void* const offsets = row_offsets(indptr, p.cols, p.index_dtype);
        void* const rows = vector_data(indices, p.nnz, p.index_dtype, "indices");
        void* const map_data = optional_data(map, p.nnz, p.index_dtype, "map");
        run_engine(p.nnz + p.cols, [&] { transpose(p, offsets, rows, map_data); });
      },
      nb::arg("pattern"), nb::arg("indptr"), nb::arg("indices"), nb::arg("map").none(),
      "Write the positions of the transpose and, unless None, their index map.");
}

void bind_conversions(nb::module_& m) {
  m.def(
      "coo_to_csr",
      [](std::int64_t rows, std::int64_t cols, const InputArray& row, const InputArray& col,
         bool sorted, const OutputArray& indptr, const OptionalOutput& indices,
         const OptionalOutput& map) {
        const CooPattern coo = coo_pattern(rows, cols, row, col);
        void* const offsets = row_offsets(indptr, rows, coo.index_dtype);
        void* const columns = optional_data(indices, coo.nnz, coo.index_dtype, "indices");
        void* const map_data = optional_data(map, coo.nnz, coo.index_dtype, "map");
        return as_pair(run_engine(
            coo.nnz + rows, [&] { return coo_to_csr(coo, sorted, offsets, columns, map_data); }));
      },
      nb::arg("rows"), nb::arg("cols"), nb::arg("row"), nb::arg("col"), nb::arg("sorted"),
      nb::arg("indptr"), nb::arg("indices").none(), nb::arg("map").none(),
      "Write the CSR positions of a COO pattern and, unless None, their index map;\n"
      "return what is known of the result: (sorted_indices, canonical).\n"
      "indices may be None when the input is sorted: then col holds the columns.");
  m.def(
      "coo_to_csr_values",
      [](std::int64_t rows, std::int64_t cols, const InputArray& row, const InputArray& col,
         const InputArray& values, bool sorted, const OutputArray& indptr,
         const OutputArray& indices, const OutputArray& out) {
        CooView coo;
        coo.pattern = coo_pattern(rows, cols, row, col);
        coo.dtype = dtype_of(values.dtype(), "values");
        coo.values = vector_data(values, coo.pattern.nnz, coo.dtype, "values");
        const DType index_dtype = coo.pattern.index_dtype;
        void* const offsets = row_offsets(indptr, rows, index_dtype);
        void* const columns = vector_data(indices, coo.pattern.nnz, index_dtype, "indices");
        void* const moved = vector_data(out, coo.pattern.nnz, coo.dtype, "out");
        return as_pair(run_engine(coo.pattern.nnz + rows, [&] {
          return coo_to_csr(coo, sorted, offsets, columns, moved);
        }));
      },
      nb::arg("rows"), nb::arg("cols"), nb::arg("row"), nb::arg("col"), nb::arg("values"),
      nb::arg("sorted"), nb::arg("indptr"), nb::arg("indices"), nb::arg("out"),
      "Write the CSR form of a COO matrix: positions, and values into out;\n"
      "return what is known of the result: (sorted_indices, canonical).");
  m.def(
      "csr_to_coo",
      [](const PyCsrPattern& pattern, const OutputArray& row) {
        const CsrPattern& p = pattern.view;
        void* const rows = vector_data(row, p.nnz, p.index_dtype, "row");
        run_engine(p.nnz + p.rows, [&] { csr_to_coo(p, rows); });
      },
      nb::arg("pattern"), nb::arg("row"), "Write the row index of every stored position.");
  m.def(
      "find_runs",
      [](const PyCsrPattern& pattern, const OutputArray& starts) {
        const CsrPattern& p = pattern.view;
        const std::int64_t capacity = static_cast<std::int64_t>(starts.size()) - 1;
        if (capacity < 0) throw InvalidArgument("starts has no elements; it must have at least 1");
        void* const first_rows = vector_data(starts, capacity + 1, p.index_dtype, "starts");
        return run_engine(p.nnz + p.rows, [&] { return find_runs(p, first_rows, capacity); });
      },
      nb::arg("pattern"), nb::arg("starts"),
      "Write the first row of each run, and the number of rows, into starts; return the number of\n"
      "runs, or 0 if starts has no room for them.");
}

void bind_order(nb::module_& m) {
  m.def(
      "sort_indices",
      [](const PyCsrPattern& pattern, const OutputArray& indices, const OptionalOutput& map) {
        const CsrPattern& p = pattern.view;
        void* const columns = vector_data(indices, p.nnz, p.index_dtype, "indices");
        void* const map_data = optional_data(map, p.nnz, p.index_dtype, "map");
        return as_pair(
            run_engine(p.nnz + p.rows, [&] { return sort_indices(p, columns, map_data); }));
      },
      nb::arg("pattern"), nb::arg("indices"), nb::arg("map").none(),
      "Write each row's columns in order and, unless None, their index map;\n"
      "return what is known of the result: (sorted_indices, canonical).");
  m.def(
      "sort_indices_values",
      [](const PyCsrPattern& pattern, const Input& values, const OutputArray& indices,
         const OutputArray& out) {
        const CsrView a = with_values(pattern, values, "values");
        void* const columns = vector_data(indices, a.pattern.nnz, a.pattern.index_dtype, "indices");
        void* const moved = vector_data(out, a.pattern.nnz, a.dtype, "out");
        return as_pair(run_engine(a.pattern.nnz + a.pattern.rows,
                                  [&] { return sort_indices(a, columns, moved); }));
      },
      nb::arg("pattern"), nb::arg("values"), nb::arg("indices"), nb::arg("out"),
      "Write each row's columns in order and their values into out;\n"
      "return what is known of the result: (sorted_indices, canonical).");
  m.def(
      "count_distinct",
      [](const PyCsrPattern& pattern, const OutputArray& indptr) {
        const CsrPattern& p = pattern.view;
        void* const offsets = row_offsets(indptr, p.rows, p.index_dtype);
        return run_engine(p.nnz + p.rows, [&] { return count_distinct(p, offsets); });
      },
      nb::arg("pattern"), nb::arg("indptr"),
      "Write the row offsets of the distinct positions of a sorted pattern; return their number.");
  m.def(
      "fill_distinct",
      [](const PyCsrPattern& pattern, const InputArray& indptr, const OutputArray& indices,
         const OutputArray& segments) {
        const CsrPattern& p = pattern.view;
        const std::int64_t distinct = static_cast<std::int64_t>(indices.size());
        const void* const offsets = row_offsets(indptr, p);
        void* const columns = vector_data(indices, distinct, p.index_dtype, "indices");
        void* const starts = vector_data(segments, distinct + 1, p.index_dtype, "segments");
        run_engine(p.nnz + p.rows, [&] { fill_distinct(p, offsets, columns, starts); });
      },
      nb::arg("pattern"), nb::arg("indptr"), nb::arg("indices"), nb::arg("segments"),
      "Write the distinct columns and where each one's run of duplicates begins.");
}

void bind_selection(nb::module_& m) {
  m.def(
      "count_rows",
      [](const PyCsrPattern& pattern, const InputArray& rows, const OutputArray& indptr) {
        const CsrPattern& p = pattern.view;
        const std::int64_t count = static_cast<std::int64_t>(rows.size());
        const void* const numbers = vector_data(rows, count, DType::int64, "rows");
        void* const offsets = row_offsets(indptr, count, p.index_dtype);
        return run_engine(count, [&] {
          return count_rows(p, static_cast<const std::int64_t*>(numbers), count, offsets);
        });
      },
      nb::arg("pattern"), nb::arg("rows"), nb::arg("indptr"),
      "Write the row offsets of some rows, unless their dtype is too short for their number of\n"
      "positions; return it.");
  m.def(
      "select_rows",
      [](const PyCsrPattern& pattern, const InputArray& rows, const InputArray& indptr,
         const OutputArray& indices, const OutputArray& map) {
        const CsrPattern& p = pattern.view;
        const std::int64_t count = static_cast<std::int64_t>(rows.size());
        const std::int64_t nnz = static_cast<std::int64_t>(indices.size());
        const void* const numbers = vector_data(rows, count, DType::int64, "rows");
        const void* const offsets = vector_data(indptr, count + 1, p.index_dtype, "indptr");
        void* const columns = vector_data(indices, nnz, p.index_dtype, "indices");
        void* const map_data = vector_data(map, nnz, p.index_dtype, "map");
        run_engine(count + nnz, [&] {
          select_rows(p, static_cast<const std::int64_t*>(numbers), count, offsets, columns,
                      map_data);
        });
      },
      nb::arg("pattern"), nb::arg("rows"), nb::arg("indptr"), nb::arg("indices"), nb::arg("map"),
      "Write the columns of some rows, which begin at indptr, and their index map.");
  m.def(
      "select_rows_values",
      [](const PyCsrPattern& pattern, const Input& values, const InputArray& rows,
         const InputArray& indptr, const OutputArray& indices, const OutputArray& out) {
        const CsrView a = with_values(pattern, values, "values");
        const DType index_dtype = a.pattern.index_dtype;
        const std::int64_t count = static_cast<std::int64_t>(rows.size());
        const std::int64_t nnz = static_cast<std::int64_t>(indices.size());
        const void* const numbers = vector_data(rows, count, DType::int64, "rows");
        const void* const offsets = vector_data(indptr, count + 1, index_dtype, "indptr");
        void* const columns = vector_data(indices, nnz, index_dtype, "indices");
        void* const moved = vector_data(out, nnz, a.dtype, "out");
        run_engine(count + nnz, [&] {
          select_rows(a, static_cast<const std::int64_t*>(numbers), count, offsets, columns, moved);
        });
      },
      nb::arg("pattern"), nb::arg("values"), nb::arg("rows"), nb::arg("indptr"), nb::arg("indices"),
      nb::arg("out"),
      "Write the columns of some rows, which begin at indptr, and their values into out.");
  m.def(
      "count_columns",
      [](const PyCsrPattern& pattern, std::int64_t begin, std::int64_t end, std::int64_t step,
         const OutputArray& indptr) {
        const CsrPattern& p = pattern.view;
        void* const offsets = row_offsets(indptr, p.rows, p.index_dtype);
        return run_engine(p.nnz + p.rows,
                          [&] { return count_columns(p, {begin, end, step}, offsets); });
      },
      nb::arg("pattern"), nb::arg("begin"), nb::arg("end"), nb::arg("step"), nb::arg("indptr"),
      "Write the row offsets of a range of columns; return its number of positions.");
  m.def(
      "fill_columns",
      [](const PyCsrPattern& pattern, std::int64_t begin, std::int64_t end, std::int64_t step,
         const InputArray& indptr, const OutputArray& indices, const OutputArray& map) {
        const CsrPattern& p = pattern.view;
        const std::int64_t count = static_cast<std::int64_t>(indices.size());
        const void* const offsets = row_offsets(indptr, p);
        void* const columns = vector_data(indices, count, p.index_dtype, "indices");
        void* const map_data = vector_data(map, count, p.index_dtype, "map");
        run_engine(p.nnz + p.rows,
                   [&] { fill_columns(p, {begin, end, step}, offsets, columns, map_data); });
      },
      nb::arg("pattern"), nb::arg("begin"), nb::arg("end"), nb::arg("step"), nb::arg("indptr"),
      nb::arg("indices"), nb::arg("map"),
      "Write a range's columns, numbered within it, and their index map.");
  m.def(
      "count_picked_columns",
      [](const PyCsrPattern& pattern, const PyCsrPattern& targets, const OutputArray& indptr) {
        const CsrPattern& p = pattern.view;
        void* const offsets = row_offsets(indptr, p.rows, p.index_dtype);
        return run_engine(p.nnz + p.rows,
                          [&] { return count_picked_columns(p, targets.view, offsets); });
      },
      nb::arg("pattern"), nb::arg("targets"), nb::arg("indptr"),
      "Write the row offsets of columns by number; row c of targets holds the numbers that column "
      "c gets. Return the number of positions.");
  m.def(
      "fill_picked_columns",
      [](const PyCsrPattern& pattern, const PyCsrPattern& targets, const InputArray& indptr,
         const OutputArray& indices, const OutputArray& map) {
        const CsrPattern& p = pattern.view;
        const std::int64_t count = static_cast<std::int64_t>(indices.size());
        const void* const offsets = row_offsets(indptr, p);
        void* const columns = vector_data(indices, count, p.index_dtype, "indices");
        void* const map_data = vector_data(map, count, p.index_dtype, "map");
        run_engine(p.nnz + p.rows,
                   [&] { fill_picked_columns(p, targets.view, offsets, columns, map_data); });
      },
      nb::arg("pattern"), nb::arg("targets"), nb::arg("indptr"), nb::arg("indices"), nb::arg("map"),
      "Write the numbers that columns get, and their index map.");
}

/// Binds what counts and writes the positions of two canonical patterns together, row by row.
void bind_row_pairs(nb::module_& m, const char* count_name,
                    std::int64_t (*count)(const CsrPattern&, const CsrPattern&, void*),
                    const char* count_doc, const char* fill_name,
                    void (*fill)(const CsrPattern&, const CsrPattern&, const void*, void*, void*,
                                 void*),
                    const char* fill_doc) {
  m.def(
      count_name,
      [count](const PyCsrPattern& a, const PyCsrPattern& b, const OutputArray& indptr) {
        void* const offsets = row_offsets(indptr, a.view.rows, a.view.index_dtype);
        return run_engine(a.view.nnz + b.view.nnz + a.view.rows,
                          [&] { return count(a.view, b.view, offsets); });
      },
      nb::arg("a"), nb::arg("b"), nb::arg("indptr"), count_doc);
  m.def(
      fill_name,
      [fill](const PyCsrPattern& a, const PyCsrPattern& b, const InputArray& indptr,
             const OutputArray& indices, const OutputArray& from_a, const OutputArray& from_b) {
        const DType dtype = a.view.index_dtype;
        const std::int64_t size = static_cast<std::int64_t>(indices.size());
        const void* const offsets = row_offsets(indptr, a.view);
        void* const columns = vector_data(indices, size, dtype, "indices");
        void* const in_a = vector_data(from_a, size, dtype, "from_a");
        void* const in_b = vector_data(from_b, size, dtype, "from_b");
        run_engine(a.view.nnz + b.view.nnz + a.view.rows,
                   [&] { fill(a.view, b.view, offsets, columns, in_a, in_b); });
      },
      nb::arg("a"), nb::arg("b"), nb::arg("indptr"), nb::arg("indices"), nb::arg("from_a"),
      nb::arg("from_b"), fill_doc);
}

/// Checks the arrays that take such positions and their values, and calls
/// body(left, right, indptr, indices, values).
template <class Body>
void write_row_pairs(const PyCsrPattern& a, const Input& a_values, const PyCsrPattern& b,
                     const Input& b_values, const InputArray& indptr, const OutputArray& indices,
                     const OutputArray& out, Body&& body) {
  const CsrView left = with_values(a, a_values, "a_values");
  const CsrView right = with_values(b, b_values, "b_values");
  const std::int64_t size = static_cast<std::int64_t>(indices.size());
  const void* const offsets = row_offsets(indptr, a.view);
  void* const columns = vector_data(indices, size, a.view.index_dtype, "indices");
  void* const values = vector_data(out, size, left.dtype, "out");
  run_engine(a.view.nnz + b.view.nnz + a.view.rows,
             [&] { body(left, right, offsets, columns, values); });
}

void bind_union(nb::module_& m) {
  bind_row_pairs(m, "count_union", &count_union,
                 "Write the row offsets of the union of two canonical patterns; return its number "
                 "of positions.",
                 "fill_union", &fill_union,
                 "Write the union's columns and each one's position in a and in b, -1 where "
                 "absent.");
  m.def(
      "fill_union_values",
      [](const PyCsrPattern& a, const Input& a_values, const PyCsrPattern& b, const Input& b_values,
         bool subtract, const InputArray& indptr, const OutputArray& indices,
         const OutputArray& out) {
        write_row_pairs(
            a, a_values, b, b_values, indptr, indices, out,
            [&](const CsrView& left, const CsrView& right, const void* offsets, void* columns,
                void* values) { fill_union(left, right, subtract, offsets, columns, values); });
      },
      nb::arg("a"), nb::arg("a_values"), nb::arg("b"), nb::arg("b_values"), nb::arg("subtract"),
      nb::arg("indptr"), nb::arg("indices"), nb::arg("out"),
      "Write the union's columns, and the sums or differences of the values into out.");
}

void bind_intersection(nb::module_& m) {
  bind_row_pairs(m, "count_intersection", &count_intersection,
                 "Write the row offsets of what two canonical patterns share; return its number of "
                 "positions.",
                 "fill_intersection", &fill_intersection,
                 "Write the shared columns and each one's position in a and in b.");
  m.def(
      "fill_intersection_values",
      [](const PyCsrPattern& a, const Input& a_values, const PyCsrPattern& b, const Input& b_values,
         const InputArray& indptr, const OutputArray& indices, const OutputArray& out) {
        write_row_pairs(
            a, a_values, b, b_values, indptr, indices, out,
            [](const CsrView& left, const CsrView& right, const void* offsets, void* columns,
               void* values) { fill_intersection(left, right, offsets, columns, values); });
      },
      nb::arg("a"), nb::arg("a_values"), nb::arg("b"), nb::arg("b_values"), nb::arg("indptr"),
      nb::arg("indices"), nb::arg("out"),
      "Write the shared columns, and the products of the values into out.");
}

/// Checks the arrays that take a stack's positions, and calls body(indptr, indices).
template <class Body>
void write_stack(const std::vector<PatternHandle>& patterns, const OutputArray& indptr,
                 const OutputArray& indices, Body&& body) {
  std::int64_t nnz = 0;
  for (PatternHandle pattern : patterns) nnz += pattern_of(pattern).view.nnz;
  if (patterns.empty()) throw InvalidArgument("hstack: no blocks, expected at least one");
  const CsrPattern& first = pattern_of(patterns[0]).view;
  void* const offsets = row_offsets(indptr, first.rows, first.index_dtype);
  void* const columns = vector_data(indices, nnz, first.index_dtype, "indices");
  run_engine(nnz + first.rows, [&] { body(offsets, columns); });
}

void bind_stacks(nb::module_& m) {
  m.def(
      "hstack",
      [](const std::vector<PatternHandle>& patterns, const OutputArray& indptr,
         const OutputArray& indices, const OutputArray& map) {
        std::vector<CsrPattern> blocks;
        for (PatternHandle pattern : patterns) blocks.push_back(pattern_of(pattern).view);
        void* const map_data = vector_data(map, static_cast<std::int64_t>(indices.size()),
                                           dtype_of(indices.dtype(), "indices"), "map");
        write_stack(patterns, indptr, indices, [&](void* offsets, void* columns) {
          hstack(blocks, offsets, columns, map_data);
        });
      },
      nb::arg("patterns"), nb::arg("indptr"), nb::arg("indices"), nb::arg("map"),
      "Write the positions of matrices side by side, and their map into all blocks' positions.");
  m.def(
      "hstack_values",
      [](const std::vector<PatternHandle>& patterns, const std::vector<InputArray>& values,
         const OutputArray& indptr, const OutputArray& indices, const OutputArray& out) {
        if (values.size() != patterns.size()) {
          throw InvalidArgument("hstack: " + std::to_string(values.size()) + " arrays for " +
                                std::to_string(patterns.size()) + " blocks");
        }
        std::vector<CsrView> blocks;
        for (std::size_t b = 0; b < patterns.size(); ++b) {
          blocks.push_back(with_values(pattern_of(patterns[b]), values[b], "values"));
        }
        void* const moved = vector_data(out, static_cast<std::int64_t>(indices.size()),
                                        dtype_of(out.dtype(), "out"), "out");
        if (!blocks.empty() && blocks[0].dtype != dtype_of(out.dtype(), "out")) {
          throw InvalidDType("hstack: out must have the dtype of the values");
        }
        write_stack(patterns, indptr, indices,
                    [&](void* offsets, void* columns) { hstack(blocks, offsets, columns, moved); });
      },
      nb::arg("patterns"), nb::arg("values"), nb::arg("indptr"), nb::arg("indices"), nb::arg("out"),
      "Write the positions of matrices side by side, and their values into out.");
}

/// The arrays that take a Kronecker product's positions, checked.
struct KronOutput {
  std::int64_t rows, nnz;
  void *offsets, *columns;
};

KronOutput kron_output(const PyCsrPattern& a, const PyCsrPattern& b, const OutputArray& indptr,
                       const OutputArray& indices) {
  KronOutput out;
  if (__builtin_mul_overflow(a.view.rows, b.view.rows, &out.rows) ||
      __builtin_mul_overflow(a.view.nnz, b.view.nnz, &out.nnz)) {
    throw InvalidArgument("kron: the result has more rows or values than int64 counts");
  }
  out.offsets = row_offsets(indptr, out.rows, a.view.index_dtype);
  out.columns = vector_data(indices, out.nnz, a.view.index_dtype, "indices");
  return out;
}

void bind_kron(nb::module_& m) {
  m.def(
      "kron",
      [](const PyCsrPattern& a, const PyCsrPattern& b, const OutputArray& indptr,
         const OutputArray& indices, const OutputArray& map) {
        const KronOutput out = kron_output(a, b, indptr, indices);
        void* const map_data = vector_data(map, out.nnz, a.view.index_dtype, "map");
        run_engine(out.nnz + out.rows,
                   [&] { kron(a.view, b.view, out.offsets, out.columns, map_data); });
      },
      nb::arg("a"), nb::arg("b"), nb::arg("indptr"), nb::arg("indices"), nb::arg("map"),
      "Write the positions of a Kronecker product, and the number of each one's pair of "
      "positions.");
  m.def(
      "kron_values",
      [](const PyCsrPattern& a, const Input& a_values, const PyCsrPattern& b, const Input& b_values,
         const OutputArray& indptr, const OutputArray& indices, const OutputArray& out) {
        const CsrView left = with_values(a, a_values, "a_values");
        const CsrView right = with_values(b, b_values, "b_values");
        const KronOutput to = kron_output(a, b, indptr, indices);
        void* const values = vector_data(out, to.nnz, left.dtype, "out");
        run_engine(to.nnz + to.rows, [&] { kron(left, right, to.offsets, to.columns, values); });
      },
      nb::arg("a"), nb::arg("a_values"), nb::arg("b"), nb::arg("b_values"), nb::arg("indptr"),
      nb::arg("indices"), nb::arg("out"),
      "Write the positions of a Kronecker product, and its values into out.");
}

void bind_dense(nb::module_& m) {
  m.def(
      "count_nonzeros",
      [](const InputArray& dense, double threshold, const OutputArray& indptr) {
        const ArrayView matrix = view(dense, "dense");
        const DType dtype = dtype_of(indptr.dtype(), "indptr");
        void* const offsets = row_offsets(indptr, matrix.shape[0], dtype);
        return run_engine(static_cast<std::int64_t>(dense.size()),
                          [&] { return count_nonzeros(matrix, threshold, dtype, offsets); });
      },
      nb::arg("dense"), nb::arg("threshold"), nb::arg("indptr"),
      "Write the row offsets of the elements with |x| > threshold; return their number.");
  m.def(
      "fill_nonzeros",
      [](const InputArray& dense, double threshold, const InputArray& indptr,
         const OutputArray& indices, const OutputArray& values) {
        const ArrayView matrix = view(dense, "dense");
        const DType dtype = dtype_of(indptr.dtype(), "indptr");
        const std::int64_t count = static_cast<std::int64_t>(indices.size());
        const void* const offsets = vector_data(indptr, matrix.shape[0] + 1, dtype, "indptr");
        void* const columns = vector_data(indices, count, dtype, "indices");
        void* const out = vector_data(values, count, matrix.dtype, "values");
        run_engine(static_cast<std::int64_t>(dense.size()),
                   [&] { fill_nonzeros(matrix, threshold, dtype, offsets, columns, out); });
      },
      nb::arg("dense"), nb::arg("threshold"), nb::arg("indptr"), nb::arg("indices"),
      nb::arg("values"), "Write the columns and values of the counted elements.");
  m.def(
      "todense",
      [](const PyCsrPattern& pattern, const InputArray& values, const OutputArray& dense) {
        const CsrView a = with_values(pattern, values, "values");
        const ArrayView matrix = view(dense, "dense");
        run_engine(static_cast<std::int64_t>(dense.size()) + a.pattern.nnz,
                   [&] { todense(a, matrix); });
      },
      nb::arg("pattern"), nb::arg("values"), nb::arg("dense"),
      "Write the matrix into dense, zeros included.");
}

/// Offset, first value and step of each.
std::vector<Diagonal> as_diagonals(const std::vector<std::array<std::int64_t, 3>>& given) {
  std::vector<Diagonal> diagonals;
  for (const auto& [offset, first, step] : given) diagonals.push_back({offset, first, step});
  return diagonals;
}

void bind_diagonals(nb::module_& m) {
  m.def(
      "count_diagonals",
      [](std::int64_t rows, std::int64_t cols,
         const std::vector<std::array<std::int64_t, 3>>& diagonals) {
        return count_diagonals(rows, cols, as_diagonals(diagonals));
      },
      nb::arg("rows"), nb::arg("cols"), nb::arg("diagonals"),
      "Return the number of positions on diagonals, each an offset, a first value and a step.");
  m.def(
      "fill_diagonals",
      [](std::int64_t rows, std::int64_t cols,
         const std::vector<std::array<std::int64_t, 3>>& given, const OutputArray& indptr,
         const OutputArray& indices, const OutputArray& map) {
        const std::vector<Diagonal> diagonals = as_diagonals(given);
        const std::int64_t nnz = count_diagonals(rows, cols, diagonals);
        const DType index_dtype = dtype_of(indices.dtype(), "indices");
        void* const offsets = row_offsets(indptr, rows, index_dtype);
        void* const columns = vector_data(indices, nnz, index_dtype, "indices");
        void* const map_data = vector_data(map, nnz, index_dtype, "map");
        run_engine(nnz + rows, [&] {
          fill_diagonals(rows, cols, diagonals, index_dtype, offsets, columns, map_data);
        });
      },
      nb::arg("rows"), nb::arg("cols"), nb::arg("diagonals"), nb::arg("indptr"), nb::arg("indices"),
      nb::arg("map"), "Write the positions on diagonals by rows, and which value each has.");
}

}  // namespace

void bind_structure(nb::module_& m) {
  bind_validation(m);
  bind_transpose(m);
  bind_conversions(m);
  bind_order(m);
  bind_selection(m);
  bind_union(m);
  bind_intersection(m);
  bind_stacks(m);
  bind_kron(m);
  bind_dense(m);
  bind_diagonals(m);
}

}  // namespace gossamer::python
