// The two halves of a decoder layer as calibration walks them.
#pragma once

#include "model/model.h"

namespace paro::calib {

/// Sets first_set (inputs) and first_set + 1 (the linear whose output is added to the residual stream).
struct LayerBlock {
  int first_set;
  void (DecoderLayer::*run)(Ops&, Tensor, const Batch&) const;
};

inline constexpr LayerBlock kLayerBlocks[] = {{0, &DecoderLayer::attention_block}, {2, &DecoderLayer::mlp_block}};

}  // namespace paro::calib
