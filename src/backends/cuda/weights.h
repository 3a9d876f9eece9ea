// Weights on a CUDA device, as a checkpoint stores them (F32, F16 or BF16), and the factory that uploads them.
#pragma once

#include <memory>
#include <string>

#include "backends/cuda/context.h"
#include "backends/cuda/kernels.h"
#include "model/linear.h"

namespace paro {

/// A tensor's values in its own type.
class DeviceValues {
 public:
  /// Uploads a tensor; Error{kInput} for other types than F32, F16, BF16 (F64 becomes F32).
  DeviceValues(const CudaContext& context, const WeightSource& source, const std::string& name);
  DeviceValues(const CudaContext& context, DeviceType type, int64_t count);
  const void* data() const { return bytes_.data(); }
  DeviceType type() const { return type_; }
  int64_t count() const { return count_; }
  float* f32() { return reinterpret_cast<float*>(bytes_.data()); }  // type() == kF32 only
  /// All of them in f32.
  DeviceArray<float> widened(const CudaContext& context) const;

 private:
  DeviceType type_ = DeviceType::kF32;
  int64_t count_ = 0;
  DeviceArray<std::byte> bytes_;
};

struct CudaLinear : Linear {
  explicit CudaLinear(DeviceValues values) : weight(std::move(values)) {}
  DeviceValues weight;                  // [out, in]
  DeviceArray<float> bias;              // [out] or empty
  mutable DeviceArray<uint16_t> split;  // [out, 3 in], CudaProducts::kSplit3: made when it is first needed
};

struct CudaEmbedding : Embedding {
  explicit CudaEmbedding(DeviceValues values) : table(std::move(values)) {}
  DeviceValues table;  // [vocab, dim]
};

struct CudaVector : Vector {
  DeviceArray<float> values;
};

/// An f32 linear whose weight [out, in] is already on the device.
std::unique_ptr<CudaLinear> make_cuda_linear(const CudaContext& context, DeviceValues weight, int64_t out, int64_t in,
                                             const std::vector<float>& bias);

}  // namespace paro
