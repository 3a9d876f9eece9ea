#include "calib/numeric/correction.h"

#include "base/error.h"

namespace paro::calib {
namespace {

std::vector<double> widen(const float* w, int64_t count) { return std::vector<double>(w, w + count); }

}  // namespace

std::vector<float> corrected_weight(const float* w, int64_t out, const SquareMatrix& h, std::vector<double> excess,
                                    double damping, ThreadPool& pool) {
  std::vector<float> corrected(w, w + out * h.n);
  const double mean = h.mean_diagonal();
  if (!(mean > 0.0)) return corrected;
  SquareMatrix a;
  for (int attempt = 0; attempt < 6; ++attempt, damping *= 10.0) {
    a = h;
    for (int64_t i = 0; i < a.n; ++i) a.row(i)[i] += damping * mean;
    // The right-hand side is only touched when the factorisation succeeds.
    if (!solve_positive(a, excess.data(), out, pool)) continue;
    for (size_t i = 0; i < corrected.size(); ++i) corrected[i] = static_cast<float>(corrected[i] + excess[i]);
    return corrected;
  }
  fail_input("the second moments of the activations are not positive definite even with strong damping");
}

std::vector<double> excess_from_inputs(const float* w, int64_t out, const SquareMatrix& h, const std::vector<double>& c,
                                       ThreadPool& pool) {
  PARO_CHECK(c.size() == h.data.size());
  std::vector<double> difference(c);
  for (size_t i = 0; i < difference.size(); ++i) difference[i] -= h.data[i];
  const std::vector<double> wide = widen(w, out * h.n);
  std::vector<double> excess(wide.size());
  gemm(out, h.n, h.n, 1.0, wide.data(), difference.data(), 0.0, excess.data(), pool);
  return excess;
}

std::vector<double> excess_from_outputs(const float* w, int64_t out, const SquareMatrix& h, std::vector<double> b,
                                        ThreadPool& pool) {
  PARO_CHECK(static_cast<int64_t>(b.size()) == out * h.n);
  const std::vector<double> wide = widen(w, out * h.n);
  gemm(out, h.n, h.n, -1.0, wide.data(), h.data.data(), 1.0, b.data(), pool);
  return b;
}

}  // namespace paro::calib
