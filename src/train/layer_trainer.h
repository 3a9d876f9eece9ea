// Training layer by layer: the published ParoQuant recipe (arXiv 2511.10645) and Block-AP of EfficientQAT (arXiv
// 2407.11062). A layer's input is that of the quantized layers before it, its target the full-precision model's output.
#pragma once

#include <memory>

#include "calib/trainer.h"
#include "train/torch_ops.h"

namespace paro::train {

std::unique_ptr<calib::LayerQuantizer> make_layer_trainer(calib::TrainingTask task, const TorchOptions& options);

}  // namespace paro::train
