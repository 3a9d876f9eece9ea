#include "base/tensor.h"

#include <fmt/format.h>

#include <cstring>

#include "base/error.h"

namespace paro {
namespace {

template <typename T, typename Convert>
void convert(const std::byte* data, int64_t count, float* out, Convert to_f32) {
  for (int64_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, data + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    out[i] = to_f32(value);
  }
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

int64_t TensorView::elements() const {
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  return n;
}

void copy_as_f32(const TensorView& tensor, int64_t begin, int64_t count, float* out) {
  PARO_CHECK(begin >= 0 && count >= 0 && begin + count <= tensor.elements());
  if (count == 0) return;  // an empty tensor may have no memory
  const std::byte* from = tensor.data + begin * dtype_size(tensor.dtype);
  switch (tensor.dtype) {
    case DType::kF32: std::memcpy(out, from, static_cast<size_t>(count) * 4); return;
    case DType::kF16: convert<uint16_t>(from, count, out, f16_to_f32); return;
    case DType::kBF16: convert<uint16_t>(from, count, out, bf16_to_f32); return;
    case DType::kF64: convert<double>(from, count, out, [](double v) { return static_cast<float>(v); }); return;
    default: PARO_CHECK(!"a float tensor");
  }
}

}  // namespace paro
