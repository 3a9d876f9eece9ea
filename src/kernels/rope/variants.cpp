#include <array>

#include "kernels/rope/rope.h"

namespace paro {

std::span<const RopeKernels> rope_variants() {
  static const std::array variants {
    rope_reference,
#if defined(__x86_64__)
        rope_avx2, rope_avx512,
#elif defined(__aarch64__)
        rope_neon,
#endif
  };
  return variants;
}

}  // namespace paro
