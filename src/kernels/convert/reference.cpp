#include "base/dtype.h"
#include "kernels/convert/convert.h"

namespace paro {
namespace {

void from_f16(const uint16_t* from, int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = f16_to_f32(from[i]);
}
void from_bf16(const uint16_t* from, int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = bf16_to_f32(from[i]);
}
void to_f16(const float* from, int64_t n, uint16_t* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = f32_to_f16(from[i]);
}

}  // namespace

constinit const ConvertKernels convert_reference{Isa::kReference, from_f16, from_bf16, to_f16};

}  // namespace paro
