// Keys and values on the device, f32.
#pragma once

#include <vector>

#include "backends/cuda/cuda_ops.h"

namespace paro {

class CudaCache : public KvCache {
 public:
  CudaCache(const CudaContext& context, const ModelConfig& config, int64_t positions, CacheUse use);

  bool keeps() const { return keeps_; }
  /// [capacity, kv_heads * head_dim] of a layer, keys or values. keeps() only.
  float* keys(int64_t layer) const { return values_.data() + 2 * layer * layer_values_; }
  float* values(int64_t layer) const { return keys(layer) + layer_values_; }

 private:
  bool keeps_;
  int64_t layer_values_;
  DeviceArray<float> values_;
};

}  // namespace paro
