// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "gossamer/threads.hpp"

namespace gossamer {

/// Runs task(context, i) once for every i in [0, count), on up to num_threads() threads, and waits.
///
/// Which thread runs which task varies, so a task's result must depend on i alone. A call from
/// within a task, or while another caller has the threads, runs on the calling thread. The first
/// exception by number of task is thrown again here, after all tasks have ended.
void run_tasks(std::int64_t count, void (*task)(void* context, std::int64_t i), void* context);

/// Calls body(i) for every i in [0, count) under the rules of run_tasks.
template <class Body>
void parallel_for(std::int64_t count, Body&& body) {
  using Function = std::remove_reference_t<Body>;
  run_tasks(
      count, [](void* context, std::int64_t i) { (*static_cast<Function*>(context))(i); },
      const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

/// Calls body(begin, end) over [0, count) in pieces of about `grain` indices.
template <class Body>
void parallel_ranges(std::int64_t count, std::int64_t grain, Body&& body) {
  const std::int64_t pieces = std::max<std::int64_t>(1, (count + grain - 1) / grain);
  parallel_for(pieces, [&](std::int64_t piece) {
    const std::int64_t begin = piece * grain;
    body(begin, std::min(count, begin + grain));
  });
}

}  // namespace gossamer
