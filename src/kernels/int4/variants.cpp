#include "kernels/int4/variants.h"

#include "kernels/variants.h"

namespace paro {

std::span<const Int4Kernels> int4_variants() {
  static const std::vector<Int4Kernels> variants {
    kInt4Reference,
#if defined(__x86_64__)
        kInt4Avx2, kInt4AvxVnni, kInt4Avx512, kInt4Avx512Vnni,
#elif defined(__aarch64__)
        kInt4Neon, kInt4NeonI8mm,
#endif
  };
  return variants;
}

const Int4Kernels& int4_kernels(Isa isa) { return variant_for(int4_variants(), isa); }

}  // namespace paro
