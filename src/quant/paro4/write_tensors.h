// Tensors of a linear to be written, made from numbers when their turn comes: what the formats' writers share.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/safetensors.h"
#include "quant/paro4/format.h"

namespace paro {

/// A tensor whose elements `make` returns as a vector.
template <typename Make>
TensorToWrite made_tensor(std::string name, DType type, std::vector<int64_t> shape, Make make) {
  return {std::move(name), type, std::move(shape), [make](const std::function<void(const void*, size_t)>& sink) {
            const auto values = make();
            sink(values.data(), values.size() * sizeof(values[0]));
          }};
}

std::vector<uint16_t> to_f16(const std::vector<float>& values);
/// F16 [groups, out], the layout of the public format, of AWQ and of GPTQ.
TensorToWrite scales_tensor(const std::string& name, std::shared_ptr<const Paro4Weight> weight);

/// X.theta, X.pairs and X.channel_scales.
std::vector<TensorToWrite> rotation_tensors(const std::string& name, const std::shared_ptr<const Paro4Weight>& weight);
/// X.qweight, X.qzeros and X.scales of the public format, which AWQ shares, and X.bias where there is one.
std::vector<TensorToWrite> nibble_tensors(const std::string& name, const std::shared_ptr<const Paro4Weight>& weight);

}  // namespace paro
