// x += down(silu(gate(norm(x))) * up(norm(x))): the MLP half of a pre-norm decoder layer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/families/registry.h"
#include "model/model.h"
#include "model/ops.h"

namespace paro {

class GatedMlpBlock {
 public:
  /// Reads `prefix`.{gate,up,down}_proj and the norm called `norm`.
  GatedMlpBlock(const LayerSource& source, const std::string& prefix, const std::string& norm);

  /// What is to be added to x; x [rows, dim].
  Tensor delta(Ops& ops, Tensor x) const;
  /// x += y (the block before's), then this block's delta: add, norm and MLP in one operation.
  Tensor delta_after_add(Ops& ops, Tensor x, Tensor y) const;
  void add_slots(int first_set, std::vector<LinearSlot>& slots);
  void add_rotation_points(RotationPoints& points) const;

 private:
  std::string norm_name_;
  std::unique_ptr<Vector> norm_;
  std::unique_ptr<Linear> gate_, up_, down_;
  float norm_eps_;
};

}  // namespace paro
