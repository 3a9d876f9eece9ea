// clang-format off
#include "kernels/simd/avx2.h"
#include "kernels/convert/simd.h"
// clang-format on

namespace paro {

constinit const ConvertKernels convert_avx2 = kSimdVariant;

}  // namespace paro
