// clang-format off
#include "kernels/simd/avx2.h"
#include "kernels/rms_norm/simd.h"
// clang-format on

namespace paro {

constinit const NormKernels norm_avx2 = kSimdVariant;

}  // namespace paro
