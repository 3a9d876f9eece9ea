// clang-format off
#include "kernels/simd/avx512.h"
#include "kernels/convert/simd.h"
// clang-format on

namespace paro {

constinit const ConvertKernels convert_avx512 = kSimdVariant;

}  // namespace paro
