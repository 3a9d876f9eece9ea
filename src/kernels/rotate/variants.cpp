#include "kernels/rotate/variants.h"

namespace paro {

const std::vector<RotateKernels>& rotate_variants() {
  static const std::vector<RotateKernels> variants {
    kRotateReference,
#if defined(__x86_64__)
        kRotateAvx2, kRotateAvx512,
#endif
  };
  return variants;
}

const RotateKernels& rotate_kernels(Isa isa) {
  const RotateKernels* best = &rotate_variants().front();
  for (const RotateKernels& variant : rotate_variants())
    if (isa != Isa::kNeon && variant.isa <= isa) best = &variant;
  return *best;
}

}  // namespace paro
