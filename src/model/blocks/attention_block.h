// x += o(attention(q, k, v of norm(x))): the attention half of a pre-norm decoder layer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/families/registry.h"
#include "model/model.h"
#include "model/ops.h"

namespace paro {

class AttentionBlock {
 public:
  /// Reads `prefix`.{q,k,v,o}_proj (and {q,k}_norm) and the norm called `norm`, as the model's config describes them.
  AttentionBlock(const LayerSource& source, const std::string& prefix, const std::string& norm);

  /// What is to be added to x; x [rows, dim].
  Tensor delta(Ops& ops, Tensor x, const Batch& batch) const;
  void add_slots(int first_set, std::vector<LinearSlot>& slots);
  void add_rotation_points(RotationPoints& points) const;

 private:
  std::string norm_name_;
  std::unique_ptr<Vector> norm_;
  std::unique_ptr<Linear> q_, k_, v_, o_;
  std::unique_ptr<Vector> q_norm_, k_norm_;
  AttentionSpec spec_;
};

}  // namespace paro
