// The second moments of a set of linears over the calibration tokens: H = E[x x^T] of the quantized stream's input and
// the cross moment E[y x^T] with what the full-precision stream has there. Sums only; what they are used for stands
// in correction.h and rounding.h.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "calib/numeric/blas.h"

namespace paro::calib {

class Statistics {
 public:
  /// `cross_rows`: dimension of y, 0 for none.
  Statistics(int64_t in, int64_t cross_rows, ThreadPool& pool);

  /// Adds a batch: x [rows, in], y [rows, cross_rows] (nullptr when there is none). Products in f32 over one batch,
  /// totals in f64: the order of batches, not their number, is all that the last bits depend on.
  void add(const float* x, const float* y, int64_t rows);

  /// The sums and the number of rows, an array after the other, through `add_up`, which may change the values.
  void combine(const std::function<void(std::span<double>)>& add_up);

  int64_t in() const { return in_; }
  int64_t cross_rows() const { return cross_rows_; }
  int64_t rows() const { return rows_; }
  /// H, both triangles. Throws Error{kInput} naming `where` when a sum is not finite.
  SquareMatrix second_moment(const std::string& where) const;
  /// E[y x^T], [cross_rows, in].
  std::vector<double> cross_moment(const std::string& where) const;

 private:
  ThreadPool& pool_;
  int64_t in_;
  int64_t cross_rows_;
  int64_t rows_ = 0;
  std::vector<double> gram_;   // [in, in], upper triangle
  std::vector<double> cross_;  // [cross_rows, in]
};

}  // namespace paro::calib
