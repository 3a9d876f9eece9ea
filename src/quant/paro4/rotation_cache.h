// One prepared table for all linears whose rotations (and orders of inputs) are equal in value: found again by content.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/rotate/rotate.h"
#include "quant/paro4/format.h"

namespace paro {

struct SharedRotation {
  PairRotation rotation;
  std::vector<int32_t> order;  // of Paro4Weight
  RotationTables tables;
};

/// The living SharedRotation equal to both, or a new one; equal ones give the same pointer. Thread-safe.
std::shared_ptr<const SharedRotation> shared_tables(const PairRotation& rotation, const std::vector<int32_t>& order);

}  // namespace paro
