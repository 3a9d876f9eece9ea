#include "kernels/dense/variants.h"

#include <algorithm>
#include <cstring>

#include "kernels/variants.h"

namespace paro {

std::span<const DenseKernels> dense_variants() {
  static const std::vector<DenseKernels> variants {
    kDenseReference,
#if defined(__x86_64__)
        kDenseAvx2, kDenseAvx512,
#elif defined(__aarch64__)
        kDenseNeon,
#endif
  };
  return variants;
}

const DenseKernels& dense_kernels(Isa isa) { return variant_for(dense_variants(), isa); }

void block_inputs(const float* x, int64_t rows, int64_t in, int64_t block, int64_t begin, int64_t end, float* blocked) {
  for (int64_t r = begin; r < end; ++r) {
    for (int64_t i = 0; i < in; i += block) {
      const int64_t depth = std::min(block, in - i);
      std::memcpy(blocked + i * rows + r * depth, x + r * in + i, static_cast<size_t>(depth) * sizeof(float));
    }
  }
}

}  // namespace paro
