// A checkpoint's tensors as any software without quantization has them: every quantized linear as one 16-bit weight
// under its plain name, everything else converted to the same type.
#pragma once

#include <memory>

#include "base/threads.h"
#include "io/weight_source.h"
#include "model/config.h"
#include "quant/paro4/format.h"

namespace paro {

/// A quantized linear as the model's config and layers name it.
struct LinearShape {
  std::string name;  // without ".weight"
  int64_t out = 0;
  int64_t in = 0;
  bool bias = false;
};
/// Every linear of the model that `source` holds quantized, in the order of the layers.
std::vector<LinearShape> quantized_linears(const ModelConfig& config, const WeightSource& source);
/// One of them as numbers, whatever format `config` says it is stored in. Error{kInput} naming the tensor.
Paro4Weight read_linear(const WeightSource& source, const LinearShape& linear, const QuantizationConfig& config);

/// `type` kF16 or kBF16. A weight is W_effective in f64, rounded once; other tensors are rounded from what they are.
/// Left out: integers, a head that is tied, tables of rotary frequencies. load() throws Error{kInput} for values that
/// are not finite or beyond F16, naming the tensor; `pool` may be null. `source` is kept.
std::shared_ptr<const WeightSource> plain_weights(const ModelConfig& config, std::shared_ptr<const WeightSource> source,
                                                  DType type, ThreadPool* pool);

}  // namespace paro
