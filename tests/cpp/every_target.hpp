// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "gossamer/simd.hpp"
#include "gossamer/threads.hpp"
#include "simd/targets.hpp"

namespace gossamer::testing {

/// Runs body for every instruction set that runs here.
template <class Body>
void for_each_target(Body&& body) {
  const std::string before = simd_target();
  for (const std::string& target : supported_simd_targets()) {
    set_simd_target(target);
    body();
  }
  set_simd_target(before);
}

/// Runs body for every instruction set, with instructions that gather and with loads instead.
template <class Body>
void for_each_target_and_gather(Body&& body) {
  const bool before = simd::has_fast_gather();
  for (const bool pay : {true, false}) {
    simd::set_fast_gather(pay);
    for_each_target(body);
  }
  simd::set_fast_gather(before);
}

/// Runs body with 1 and with 4 threads.
template <class Body>
void for_each_thread_count(Body&& body) {
  const int before = num_threads();
  for (int threads : {1, 4}) {
    set_num_threads(threads);
    body();
  }
  set_num_threads(before);
}

/// Runs body for every instruction set that runs here, and with 1, 2 and 4 threads.
template <class Body>
void for_each_setting(Body&& body) {
  const std::string target_before = simd_target();
  const int threads_before = num_threads();
  for (const std::string& target : supported_simd_targets()) {
    set_simd_target(target);
    for (int threads : {1, 2, 4}) {
      set_num_threads(threads);
      INFO("target " << target << ", threads " << threads);
      body();
    }
  }
  set_simd_target(target_before);
  set_num_threads(threads_before);
}

}  // namespace gossamer::testing
