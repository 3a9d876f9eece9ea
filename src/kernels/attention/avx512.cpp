// clang-format off
#include "kernels/simd/avx512.h"
#include "kernels/attention/simd.h"
// clang-format on

namespace paro {

constinit const AttentionKernels attention_avx512 = kSimdVariant;

}  // namespace paro
