// SPDX-License-Identifier: Apache-2.0
// All of Gossamer's C++ interface.
#pragma once

#include "gossamer/dtype.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/matmul.hpp"
#include "gossamer/packed.hpp"
#include "gossamer/reductions.hpp"
#include "gossamer/sddmm.hpp"
#include "gossamer/simd.hpp"
#include "gossamer/spgemm.hpp"
#include "gossamer/structure.hpp"
#include "gossamer/threads.hpp"
#include "gossamer/values.hpp"
#include "gossamer/views.hpp"
