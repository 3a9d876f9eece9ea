// clang-format off
#include "kernels/simd/avx2.h"
#include "kernels/elementwise/simd.h"
// clang-format on

namespace paro {

constinit const ElementKernels elementwise_avx2 = kSimdVariant;

}  // namespace paro
