#include <array>

#include "kernels/elementwise/elementwise.h"

namespace paro {

std::span<const ElementKernels> elementwise_variants() {
  static const std::array variants {
    elementwise_reference,
#if defined(__x86_64__)
        elementwise_avx2, elementwise_avx512,
#elif defined(__aarch64__)
        elementwise_neon,
#endif
  };
  return variants;
}

}  // namespace paro
