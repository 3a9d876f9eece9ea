// The finished checkpoint: everything a Hugging Face folder needs, written so that a reader that finds config.json
// finds all of it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "calib/options.h"
#include "calib/work_folder.h"
#include "io/checkpoint.h"
#include "model/config.h"

namespace paro::calib {

struct ExportedFigures {
  double verify_kl = 0.0;       // mean KL of the reopened checkpoint's logits to the calibration stream's, nats
  double verify_kl_int8 = 0.0;  // the same with int8 activations
  double seconds = 0.0;
  Json transform;  // null without merged rotations
  Json tuning;     // null without end-to-end tuning
};

/// safetensors (quantized linears from the work folder, all else in F16), tokenizer files, generation config. Throws
/// Error{kInput} for values beyond F16, naming the tensor.
void export_tensors(const QuantizeOptions& options, const Checkpoint& source, const ModelConfig& config,
                    const WorkFolder& work);
/// config.json with its quantization_config: last, it makes the folder a checkpoint. `layers`: the reports of the work
/// folder. For awq and gptq also says that all else is F16 (their readers believe it), for gptq quantize_config.json.
void export_config(const QuantizeOptions& options, const Checkpoint& source, const Json& layers);
/// README.md: the model card. `layers`: the reports of the work folder.
void export_card(const QuantizeOptions& options, const Checkpoint& source, const Json& layers,
                 const ExportedFigures& figures);

}  // namespace paro::calib
