// One prepared table for all linears whose rotations are equal in value: found again by content.
#pragma once

#include <memory>

#include "kernels/rotate/rotate.h"
#include "quant/paro4/format.h"

namespace paro {

struct SharedRotation {
  PairRotation rotation;
  RotationTables tables;
};

/// The living SharedRotation equal to `rotation`, or a new one; equal rotations give the same pointer. Thread-safe.
std::shared_ptr<const SharedRotation> shared_tables(const PairRotation& rotation);

}  // namespace paro
