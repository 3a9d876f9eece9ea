#include "kernels/rotate/variants.h"

#include "kernels/variants.h"

namespace paro {

std::span<const RotateKernels> rotate_variants() {
  static const std::vector<RotateKernels> variants {
    kRotateReference,
#if defined(__x86_64__)
        kRotateAvx2, kRotateAvx512,
#elif defined(__aarch64__)
        kRotateNeon,
#endif
  };
  return variants;
}

const RotateKernels& rotate_kernels(Isa isa) { return variant_for(rotate_variants(), isa); }

}  // namespace paro
