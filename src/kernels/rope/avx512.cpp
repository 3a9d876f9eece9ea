// clang-format off
#include "kernels/simd/avx512.h"
#include "kernels/rope/simd.h"
// clang-format on

namespace paro {

constinit const RopeKernels rope_avx512 = kSimdVariant;

}  // namespace paro
