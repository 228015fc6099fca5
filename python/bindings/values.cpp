// SPDX-License-Identifier: Apache-2.0
#include "gossamer/values.hpp"

#include <nanobind/stl/optional.h>

#include <optional>

#include "gossamer/errors.hpp"
#include "module.hpp"
#include "patterns.hpp"

namespace gossamer::python {

void bind_values(nb::module_& m) {
  m.def(
      "gather",
      [](const Input& values, const InputArray& map, const Output& out) {
        const ArrayView source = view(values, "values");
        const DType dtype = source.dtype, index_dtype = dtype_of(map.dtype(), "map");
        const std::int64_t count = static_cast<std::int64_t>(map.size());
        const void* const from = vector_data(source, size_of(source), dtype, "values");
        const void* const positions = vector_data(map, count, index_dtype, "map");
        void* const to = vector_data(view(out, "out"), count, dtype, "out");
        run_engine(count, [&] { gather(dtype, from, index_dtype, positions, count, to); });
      },
      nb::arg("values"), nb::arg("map"), nb::arg("out"),
      "Write values[map[i]], or zero where map[i] is -1.");
  m.def(
      "segment_sum",
      [](const InputArray& values, const std::optional<InputArray>& map, const InputArray& segments,
         const OutputArray& out) {
        const DType dtype = dtype_of(values.dtype(), "values");
        const DType index_dtype = dtype_of(segments.dtype(), "segments");
        const std::int64_t count = static_cast<std::int64_t>(out.size());
        const std::int64_t length = static_cast<std::int64_t>(values.size());
        const void* const from = vector_data(values, length, dtype, "values");
        const void* const positions =
            map ? vector_data(*map, static_cast<std::int64_t>(map->size()), index_dtype, "map")
                : nullptr;
        const void* const offsets = vector_data(segments, count + 1, index_dtype, "segments");
        void* const to = vector_data(out, count, dtype, "out");
        run_engine(length + count,
                   [&] { segment_sum(dtype, from, index_dtype, positions, offsets, count, to); });
      },
      nb::arg("values"), nb::arg("map").none(), nb::arg("segments"), nb::arg("out"),
      "Write the sum of values[map[p]], or values[p], over each segment of p.");
}

}  // namespace gossamer::python
