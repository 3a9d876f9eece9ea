// End-to-end tuning: group scales (and, where asked for, norms, channel scales and angles) of a quantized model trained
// through all of its layers, the codes frozen. Sources: E2E-QP of EfficientQAT (arXiv 2407.11062), there for the next
// token; the default loss is the divergence from the unquantized model.
#pragma once

#include <vector>

#include "calib/trainer.h"
#include "train/torch_ops.h"

namespace paro::train {

enum class TuneLoss { kDivergence, kNextToken };

calib::TunedModel tune_end_to_end(const calib::TrainingTask& task, std::vector<calib::QuantizedLayer> layers,
                                  int64_t logit_tokens, TuneLoss loss, const TorchOptions& options);

}  // namespace paro::train
