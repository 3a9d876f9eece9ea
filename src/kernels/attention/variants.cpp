#include <array>

#include "kernels/attention/attention.h"

namespace paro {

std::span<const AttentionKernels> attention_variants() {
  static const std::array variants {
    attention_reference,
#if defined(__x86_64__)
        attention_avx2, attention_avx512,
#endif
  };
  return variants;
}

}  // namespace paro
