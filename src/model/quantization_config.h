// "quantization_config" of config.json: the public ParoQuant format, AWQ (AutoAWQ's GEMM layout) and GPTQ. What the
// tensors then look like is each method's own (quant/).
#pragma once

#include "model/config.h"
#include "model/config_reader.h"

namespace paro {

/// Of a whole config.json; bits 0 where there is none. Throws Error{kInput} naming the key, the expected and the found;
/// for another method it lists those that are read.
QuantizationConfig parse_quantization_config(const ConfigReader& config);

}  // namespace paro
