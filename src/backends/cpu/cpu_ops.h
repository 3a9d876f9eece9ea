// The CPU's op set, weight factory and KV cache.
#pragma once

#include <memory>

#include "model/model.h"
#include "model/ops.h"
#include "quant/cpu_linear.h"

namespace paro {

struct CpuOptions {
  int threads = 0;  // 0: physical cores
  Activations activations = Activations::kInt8;
};

/// f32 activations; any CpuLinear as weights.
std::unique_ptr<Ops> make_cpu_ops(const CpuOptions& options = {});
/// Weights stay mapped or are packed for the kernels; `quantization` of the model's config.
std::unique_ptr<WeightFactory> make_cpu_weight_factory(const QuantizationConfig& quantization);
/// f16 keys and values for `capacity` positions. Memory is reserved, and touched as it fills.
std::unique_ptr<KvCache> make_cpu_cache(const ModelConfig& config, int64_t capacity);

}  // namespace paro
