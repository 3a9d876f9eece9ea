#include "io/weight_source.h"

#include <algorithm>
#include <bit>

#include "base/error.h"

namespace paro {

const TensorInfo* WeightSource::find(std::string_view name) const {
  const std::vector<TensorInfo>& all = tensors();
  const auto it = std::lower_bound(all.begin(), all.end(), name,
                                   [](const TensorInfo& info, std::string_view wanted) { return info.name < wanted; });
  return it == all.end() || it->name != name ? nullptr : &*it;
}

const TensorInfo& WeightSource::require(std::string_view name) const {
  const TensorInfo* info = find(name);
  if (info == nullptr) fail_input("{}: tensor \"{}\" is missing", place(name), name);
  return *info;
}

const TensorInfo& WeightSource::require(std::string_view name, const std::vector<int64_t>& shape) const {
  const TensorInfo& info = require(name);
  if (info.shape != shape)
    fail_input("{}: tensor \"{}\": expected shape {}, found {}", place(name), name, shape_text(shape),
               shape_text(info.shape));
  return info;
}

std::vector<float> WeightSource::load_f32(std::string_view name) const {
  const LoadedTensor tensor = load(name);
  const DType type = tensor.view.dtype;
  if (type != DType::kF32 && type != DType::kF16 && type != DType::kBF16 && type != DType::kF64)
    fail_input("{}: tensor \"{}\": expected a float type, found {}", place(name), name, dtype_name(type));
  std::vector<float> values(static_cast<size_t>(tensor.view.elements()));
  copy_as_f32(tensor.view, 0, tensor.view.elements(), values.data());
  uint32_t bad = 0;
  for (const float value : values) bad |= (std::bit_cast<uint32_t>(value) & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
  if (bad != 0) {
    const auto it = std::find_if(values.begin(), values.end(), [](float v) { return !(v - v == 0.0f); });
    fail_input("{}: tensor \"{}\": expected finite values, found {} at element {}", place(name), name, *it,
               it - values.begin());
  }
  return values;
}

}  // namespace paro
