#include <array>

#include "kernels/convert/convert.h"

namespace paro {

std::span<const ConvertKernels> convert_variants() {
  static const std::array variants {
    convert_reference,
#if defined(__x86_64__)
        convert_avx2, convert_avx512,
#elif defined(__aarch64__)
        convert_neon,
#endif
  };
  return variants;
}

}  // namespace paro
