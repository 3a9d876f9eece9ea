// clang-format off
#include "kernels/simd/avx512.h"
#include "kernels/rms_norm/simd.h"
// clang-format on

namespace paro {

constinit const NormKernels norm_avx512 = kSimdVariant;

}  // namespace paro
