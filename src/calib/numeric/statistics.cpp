#include "calib/numeric/statistics.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace paro::calib {
namespace {

void require_finite(const std::vector<double>& sums, const std::string& where) {
  for (const double sum : sums)
    if (!std::isfinite(sum)) fail_input("{}: the activations are not finite (the model overflows on this text)", where);
}

}  // namespace

Statistics::Statistics(int64_t in, int64_t cross_rows)
    : in_(in),
      cross_rows_(cross_rows),
      scratch_(static_cast<size_t>(std::max(in, cross_rows) * in)),
      gram_(static_cast<size_t>(in * in)),
      cross_(static_cast<size_t>(cross_rows * in)) {}

void Statistics::add(const float* x, const float* y, int64_t rows) {
  gram_upper(in_, rows, x, scratch_.data());
  for (int64_t i = 0; i < in_; ++i)
    for (int64_t j = i; j < in_; ++j)
      gram_[static_cast<size_t>(i * in_ + j)] += scratch_[static_cast<size_t>(i * in_ + j)];
  if (cross_rows_ > 0) {
    gemm(true, false, cross_rows_, in_, rows, 1.0f, y, cross_rows_, x, in_, 0.0f, scratch_.data(), in_);
    for (size_t i = 0; i < cross_.size(); ++i) cross_[i] += scratch_[i];
  }
  rows_ += rows;
}

SquareMatrix Statistics::second_moment(const std::string& where) const {
  PARO_CHECK(rows_ > 0);
  require_finite(gram_, where);
  SquareMatrix h(in_);
  const double scale = 1.0 / static_cast<double>(rows_);
  for (int64_t i = 0; i < in_; ++i)
    for (int64_t j = i; j < in_; ++j) h.row(i)[j] = h.row(j)[i] = gram_[static_cast<size_t>(i * in_ + j)] * scale;
  return h;
}

std::vector<double> Statistics::cross_moment(const std::string& where) const {
  PARO_CHECK(rows_ > 0);
  require_finite(cross_, where);
  std::vector<double> mean = cross_;
  for (double& value : mean) value /= static_cast<double>(rows_);
  return mean;
}

}  // namespace paro::calib
