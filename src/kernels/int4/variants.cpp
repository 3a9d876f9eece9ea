#include "kernels/int4/variants.h"

namespace paro {

const std::vector<Int4Kernels>& int4_variants() {
  static const std::vector<Int4Kernels> variants {
    kInt4Reference,
#if defined(__x86_64__)
        kInt4Avx2, kInt4Avx512, kInt4Avx512Vnni,
#endif
  };
  return variants;
}

const Int4Kernels& int4_kernels(Isa isa) {
  const Int4Kernels* best = &int4_variants().front();
  for (const Int4Kernels& variant : int4_variants())
    if (isa != Isa::kNeon && variant.isa <= isa) best = &variant;
  return *best;
}

}  // namespace paro
