#include "calib/outline.h"

namespace paro::calib {

std::vector<LinearOutline> outline_linears(const ModelConfig& config, const WeightSource& source) {
  OutlineFactory outline;
  const Rope rope(config.rope, config.head_dim, config.max_positions);
  std::vector<LinearOutline> linears;
  for (int64_t index = 0; index < config.layers; ++index) {
    const auto layer = load_layer(config, index, rope, source, outline);
    for (const LinearSlot& slot : layer->linear_slots())
      linears.push_back({slot.name, index, slot.set, (*slot.weight)->out, (*slot.weight)->in});
  }
  return linears;
}

}  // namespace paro::calib
