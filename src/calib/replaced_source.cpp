#include "calib/replaced_source.h"

#include <cmath>

#include "base/error.h"

namespace paro::calib {

ReplacedTensor load_replaced(const WeightSource& source, const std::string& name) {
  return {name, source.require(name).shape, source.load_f32(name)};
}

void round_to_f16(ReplacedTensor& tensor, const WeightSource& source) {
  for (float& value : tensor.values) {
    const float rounded = f16_to_f32(f32_to_f16(value));
    if (!std::isfinite(rounded))
      fail_input("{}: tensor \"{}\": expected values that fit into F16 (up to 65504), found {}",
                 source.place(tensor.name), tensor.name, value);
    value = rounded;
  }
}

ReplacedSource::ReplacedSource(const WeightSource& base, std::vector<ReplacedTensor> tensors)
    : base_(base), infos_(base.tensors()) {
  for (ReplacedTensor& tensor : tensors) replaced_[tensor.name] = std::move(tensor);
  size_t found = 0;
  for (TensorInfo& info : infos_) {
    const auto it = replaced_.find(info.name);
    if (it == replaced_.end()) continue;
    PARO_CHECK(info.shape == it->second.shape);
    info.dtype = DType::kF32;
    ++found;
  }
  PARO_CHECK(found == replaced_.size());
}

LoadedTensor ReplacedSource::load(std::string_view name) const {
  const auto it = replaced_.find(name);
  if (it == replaced_.end()) return base_.load(name);
  const ReplacedTensor& tensor = it->second;
  return {{DType::kF32, tensor.shape, reinterpret_cast<const std::byte*>(tensor.values.data())}, nullptr};
}

void ReplacedSource::will_read(std::string_view name) const {
  if (!replaced_.contains(name)) base_.will_read(name);
}

void ReplacedSource::was_read(std::string_view name) const {
  if (!replaced_.contains(name)) base_.was_read(name);
}

}  // namespace paro::calib
