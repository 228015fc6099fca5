// SPDX-License-Identifier: Apache-2.0
// Which instruction sets the kernels are compiled for, and the choice among them at run time.
//
// A kernel file sets HWY_TARGET_INCLUDE to itself, includes this header, <hwy/foreach_target.h> and
// <hwy/highway.h>, writes its code once in namespace HWY_NAMESPACE, and after HWY_ONCE calls it
// through GOSSAMER_SIMD_FUNCTION. Highway is used as headers only.
#ifndef GOSSAMER_SIMD_TARGETS_HPP
#define GOSSAMER_SIMD_TARGETS_HPP

// The portable path is Highway's with single lanes under every compiler, not its emulation of 128
// bits, for which some would choose.
#define HWY_BROKEN_EMU128 1
// Ice Lake's instructions expand 8- and 16-bit lanes, which the packed formats live on.
#define HWY_WANT_AVX3_DL 1
// Between the portable path and AVX2 no machine is worth a longer build.
// Sanitizer builds leave AVX-512 out: its code costs them minutes, and its masked loads escape
// them.
#ifdef GOSSAMER_SANITIZED
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3 | HWY_AVX3_DL)
#else
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#endif

#include <hwy/detect_targets.h>  // reads the above

// Tiles are asked of Linux and multiply what avx3_dl has expanded, if the compiler knows them.
#if defined(__x86_64__) && defined(__linux__) && (HWY_TARGETS & HWY_AVX3_DL) && \
    (HWY_COMPILER_GCC_ACTUAL >= 1100 || HWY_COMPILER_CLANG >= 1200)
#define GOSSAMER_HAS_AMX 1
#else
#define GOSSAMER_HAS_AMX 0
#endif

namespace gossamer::simd {

/// Compiled code paths, best first. `amx` is avx3_dl with products of bfloat16 tiles, where these
/// pay and the system permits them; `portable` is Highway's scalar or baseline path.
enum class Target : int { amx, avx3_dl, avx3, avx2, portable };

/// The path that kernels take now.
Target current_target();

/// Whether AVX-512's gathers are faster than loads one by one: on Intel's processors. On Zen 5
/// eight floats take 12 cycles by a gather, 4 one by one.
bool has_fast_gather();

/// Overrules has_fast_gather(), so that tests reach both ways.
void set_fast_gather(bool fast);

/// Whether loads from the L2 cache are hidden without being asked for ahead: not on Intel's
/// processors, where a spin chain's products with 16 columns take a fifth longer so.
bool hides_cache_latency();

}  // namespace gossamer::simd

/// The function `name` of the current target, from namespace gossamer.
#define GOSSAMER_SIMD_FUNCTION(name)                                               \
  ([]() -> decltype(&HWY_STATIC_DISPATCH(name)) {                                  \
    static constexpr decltype(&HWY_STATIC_DISPATCH(name)) paths[] = {              \
        HWY_CHOOSE_AVX3_DL(name), HWY_CHOOSE_AVX3_DL(name), HWY_CHOOSE_AVX3(name), \
        HWY_CHOOSE_AVX2(name), nullptr};                                           \
    const auto path = paths[static_cast<int>(::gossamer::simd::current_target())]; \
    return path != nullptr ? path : &HWY_STATIC_DISPATCH(name);                    \
  }())

#endif  // GOSSAMER_SIMD_TARGETS_HPP
