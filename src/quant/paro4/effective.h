// What a quantized linear means as an ordinary weight, in f64.
#pragma once

#include <cstdint>
#include <vector>

#include "quant/paro4/format.h"

namespace paro {

/// W_effective = (W' R) diag(channel_scales), its inputs in the linear's own order, row by row: codes times scales are
/// exact in f64, everything after them is computed in f64. `weight` outlives it.
class EffectiveWeight {
 public:
  explicit EffectiveWeight(const Paro4Weight& weight);

  /// Rows [first, first + rows), out [rows, in]. Thread-safe.
  void rows(int64_t first, int64_t rows, double* out) const;

 private:
  const Paro4Weight& weight_;
  std::vector<double> cosine_;  // [rounds, in/2]
  std::vector<double> sine_;
};

}  // namespace paro
