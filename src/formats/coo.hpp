// SPDX-License-Identifier: Apache-2.0
// COO: row and column index of each value, in any order.
#pragma once

#include "formats/index_scan.hpp"
#include "gossamer/structure.hpp"

namespace gossamer {

/// Scans all positions.
PositionScan scan_positions(const CooPattern& coo);

/// Scans all positions, unless their beginning already shows that the rows are not in order.
PositionScan scan_order(const CooPattern& coo);

}  // namespace gossamer
