// What a linear multiplies, row by row: a tensor, or what an operation before it makes of one or two. A weight that
// rotates and rounds its input takes it from here piece by piece, so that a normalised or gated row is never written to
// memory.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace paro {

/// x itself; with `norm`, x[r] * factors[r] * norm (an RMS norm); with `up`, silu(x) * up. At most one of the two.
struct LinearInput {
  const float* x = nullptr;        // [rows, in]
  const float* norm = nullptr;     // [in]
  const float* factors = nullptr;  // [rows], with `norm`
  const float* up = nullptr;       // [rows, in]

  bool plain() const { return norm == nullptr && up == nullptr; }
};

struct ElementKernels;
struct NormKernels;

/// Computes parts of such an input, which must not be plain.
class LinearInputRows {
 public:
  LinearInputRows(Isa isa, const LinearInput& input, int64_t in);
  /// out [end - begin] = the channels [begin, end) of a row.
  void compute(int64_t row, int64_t begin, int64_t end, float* out) const;

 private:
  const LinearInput& input_;
  int64_t in_;
  const ElementKernels& elements_;
  const NormKernels& norms_;
};

}  // namespace paro
