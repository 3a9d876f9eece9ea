#include "calib/numeric/kernels.h"

namespace paro::calib {

const Kernels& kernels_for(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::kAvx512) return kAvx512Kernels;
  if (isa >= Isa::kAvx2) return kAvx2Kernels;
#elif defined(__aarch64__)
  if (isa >= Isa::kNeon) return kNeonKernels;
#endif
  static_cast<void>(isa);
  return kGenericKernels;
}

}  // namespace paro::calib
