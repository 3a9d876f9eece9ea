// clang-format off
#include "kernels/simd/avx512.h"
#include "kernels/elementwise/simd.h"
// clang-format on

namespace paro {

constinit const ElementKernels elementwise_avx512 = kSimdVariant;

}  // namespace paro
