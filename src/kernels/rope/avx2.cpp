// clang-format off
#include "kernels/simd/avx2.h"
#include "kernels/rope/simd.h"
// clang-format on

namespace paro {

constinit const RopeKernels rope_avx2 = kSimdVariant;

}  // namespace paro
