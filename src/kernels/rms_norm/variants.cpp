#include <array>

#include "kernels/rms_norm/rms_norm.h"

namespace paro {

std::span<const NormKernels> norm_variants() {
  static const std::array variants {
    norm_reference,
#if defined(__x86_64__)
        norm_avx2, norm_avx512,
#elif defined(__aarch64__)
        norm_neon,
#endif
  };
  return variants;
}

}  // namespace paro
