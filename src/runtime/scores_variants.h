// The one list of what scores.cpp chooses from at start.
#pragma once

#include "runtime/scores.h"

namespace paro::scores {

struct Variant {
  RowSum (*row_sum)(const float* x, int64_t n);
  double (*weighted_difference)(const float* teacher, float max, const float* student, int64_t n);
  bool (*block_maxima)(const float* x, int64_t n, float* maxima);
  void (*block_weights)(const float* x, int64_t n, const SoftmaxScale& scale, const float* maxima, double* sums);
};

extern const Variant kGeneric;  // on aarch64 NEON, which every processor there has
extern const Variant kAvx2;     // x86-64 only
extern const Variant kAvx512;   // x86-64 only

}  // namespace paro::scores
