// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <thread>
#include <vector>

namespace gossamer {

/// f(0), ..., f(count - 1) on all cores.
template <class Function>
void for_each_parallel(int count, Function f) {
  int threads = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> pool;
  for (int k = 0; k < threads; k++)
    pool.emplace_back([=] {
      for (int i = k; i < count; i += threads) f(i);
    });
  for (auto& thread : pool) thread.join();
}

}  // namespace gossamer
