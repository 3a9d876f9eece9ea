// clang-format off
#include "kernels/simd/avx2.h"
#include "kernels/attention/simd.h"
// clang-format on

namespace paro {

constinit const AttentionKernels attention_avx2 = kSimdVariant;

}  // namespace paro
