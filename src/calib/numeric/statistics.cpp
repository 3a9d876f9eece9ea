#include "calib/numeric/statistics.h"

#include <cmath>

#include "base/error.h"

namespace paro::calib {
namespace {

void require_finite(const std::vector<double>& sums, const std::string& where) {
  for (const double sum : sums)
    if (!std::isfinite(sum)) fail_input("{}: the activations are not finite (the model overflows on this text)", where);
}

}  // namespace

Statistics::Statistics(int64_t in, int64_t cross_rows, ThreadPool& pool)
    : pool_(pool),
      in_(in),
      cross_rows_(cross_rows),
      gram_(static_cast<size_t>(in * in)),
      cross_(static_cast<size_t>(cross_rows * in)) {}

void Statistics::add(const float* x, const float* y, int64_t rows) {
  add_cross_product(x, in_, x, in_, rows, true, gram_.data(), pool_);
  if (cross_rows_ > 0) add_cross_product(y, cross_rows_, x, in_, rows, false, cross_.data(), pool_);
  rows_ += rows;
}

void Statistics::combine(const std::function<void(std::span<double>)>& add_up) {
  add_up(gram_);
  add_up(cross_);
  auto rows = static_cast<double>(rows_);
  add_up({&rows, 1});
  rows_ = static_cast<int64_t>(rows);
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
