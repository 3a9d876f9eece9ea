// The op set, weight factory and KV cache of a CUDA device: the primitive operations on f32 activations and dense
// weights; coarse operations run on their default bodies. Everything happens in order on the context's stream.
#pragma once

#include <memory>

#include "backends/cuda/context.h"
#include "model/model.h"
#include "model/ops.h"

namespace paro {

struct CudaOptions {
  CudaProducts products = CudaProducts::kF32;  // of linears; attention is f32 always
};

/// f32 activations. One step at a time; the context outlives it. Scratch memory comes from the context's pool.
std::unique_ptr<Ops> make_cuda_ops(const CudaContext& context, const CudaOptions& options = {});
/// Dense weights and embeddings in the type of the checkpoint; Error{kInput} for quantized ones.
std::unique_ptr<WeightFactory> make_cuda_weight_factory(const CudaContext& context);

enum class CacheUse {
  kKeep,      // keys and values (f32) stay: sequences may be continued
  kWholeOnly  // nothing is stored: sequences that one step computes from position 0 to their end
};
std::unique_ptr<KvCache> make_cuda_cache(const CudaContext& context, const ModelConfig& config, int64_t capacity,
                                         CacheUse use);

}  // namespace paro
