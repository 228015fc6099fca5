// SPDX-License-Identifier: Apache-2.0
#include "simd/targets.hpp"

#include <hwy/highway.h>

#if GOSSAMER_HAS_AMX
#include <cpuid.h>
#endif

#include <array>
#include <atomic>

#include "core/environment.hpp"
#include "core/message.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/simd.hpp"

namespace gossamer {
namespace {

using simd::Target;

constexpr std::array<std::string_view, 5> target_names = {"amx", "avx3_dl", "avx3", "avx2",
                                                          "portable"};

constexpr bool is_compiled(Target target) {
  switch (target) {
    case Target::amx:
      return GOSSAMER_HAS_AMX;
    case Target::avx3_dl:
      return (HWY_TARGETS & HWY_AVX3_DL) != 0;
    case Target::avx3:
      return (HWY_TARGETS & HWY_AVX3) != 0;
    case Target::avx2:
      return (HWY_TARGETS & HWY_AVX2) != 0;
    case Target::portable:
      return true;
  }
  return false;
}

/// Whether the processor multiplies bfloat16 tiles.
bool has_tiles() {
#if GOSSAMER_HAS_AMX
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  const unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;
  return (d & amx_bf16) != 0 && (d & amx_tile) != 0;
#else
  return false;
#endif
}

bool runs_here(Target target) {
  if (!is_compiled(target)) return false;
#if HWY_ARCH_X86 && defined(__GNUC__)
  // Not every compiler knows all names: what has AVX2 has F16C, what has VBMI2 and GFNI has VAES.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2");
  const bool avx3 = avx2 && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  const bool avx3_dl =
      avx3 && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bitalg") &&
      __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("vpclmulqdq") &&
      __builtin_cpu_supports("gfni");
  switch (target) {
    case Target::amx:
      return avx3_dl && has_tiles();
    case Target::avx3_dl:
      return avx3_dl;
    case Target::avx3:
      return avx3;
    case Target::avx2:
      return avx2;
    case Target::portable:
      return true;
  }
  return false;
#else
  return target == Target::portable;
#endif
}

std::string supported_list() {
  std::string list;
  for (const std::string& target : supported_simd_targets()) {
    list += (list.empty() ? "" : ", ") + target;
  }
  return list;
}

Target find_target(std::string_view wanted, std::string_view source) {
  for (std::size_t i = 0; i < target_names.size(); ++i) {
    const Target target = static_cast<Target>(i);
    if (target_names[i] == wanted && runs_here(target)) return target;
  }
  throw InvalidArgument(
      message(source, " = '", wanted, "' is not supported here; supported are ", supported_list()));
}

Target initial_target() {
  if (const char* const forced = environment_variable("GOSSAMER_SIMD")) {
    return find_target(forced, "GOSSAMER_SIMD");
  }
  int best = 0;
  while (!runs_here(static_cast<Target>(best))) ++best;
  return static_cast<Target>(best);
}

std::atomic<Target>& chosen_target() {
  static std::atomic<Target> target{initial_target()};
  return target;
}

bool is_intel() {
#if HWY_ARCH_X86 && defined(__GNUC__)
  return __builtin_cpu_is("intel");
#else
  return false;
#endif
}

std::atomic<bool>& fast_gather() {
  static std::atomic<bool> fast{is_intel()};
  return fast;
}

}  // namespace

simd::Target simd::current_target() { return chosen_target().load(std::memory_order_relaxed); }

bool simd::has_fast_gather() { return fast_gather().load(std::memory_order_relaxed); }

bool simd::hides_cache_latency() {
  static const bool hides = !is_intel();
  return hides;
}

void simd::set_fast_gather(bool fast) { fast_gather().store(fast); }

std::vector<std::string> supported_simd_targets() {
  std::vector<std::string> targets;
  for (std::size_t i = 0; i < target_names.size(); ++i) {
    if (runs_here(static_cast<Target>(i))) targets.emplace_back(target_names[i]);
  }
  return targets;
}

std::string simd_target() {
  return std::string(target_names[static_cast<std::size_t>(simd::current_target())]);
}

void set_simd_target(std::string_view target) {
  chosen_target().store(find_target(target, "set_simd_target: target"));
}

}  // namespace gossamer
