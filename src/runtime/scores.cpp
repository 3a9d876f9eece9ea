#include "runtime/scores.h"

#include <algorithm>
#include <cmath>

#include "base/cpu.h"
#include "runtime/scores_loops.h"

namespace paro {
namespace scores {

const Variant kGeneric = {row_sum_loop, weighted_difference_loop, block_maxima_loop, block_weights_loop};

namespace {

const Variant& active() {
  static const Variant& variant = []() -> const Variant& {
#if defined(__x86_64__)
    const Isa isa = active_isa();
    if (isa >= Isa::kAvx512) return kAvx512;
    if (isa >= Isa::kAvx2) return kAvx2;
#endif
    return kGeneric;
  }();
  return variant;
}

}  // namespace
}  // namespace scores

RowSum row_sum(const float* x, int64_t n) { return scores::active().row_sum(x, n); }

double row_kl(const float* teacher, const RowSum& teacher_sum, const float* student, const RowSum& student_sum,
              int64_t n) {
  // sum p (t - s) - lse(t) + lse(s)
  const double weighted = scores::active().weighted_difference(teacher, teacher_sum.max, student, n);
  const double difference = weighted / std::exp(teacher_sum.log_sum_exp - static_cast<double>(teacher_sum.max));
  return std::max(0.0, difference - teacher_sum.log_sum_exp + student_sum.log_sum_exp);
}

bool block_maxima(const float* x, int64_t n, float* maxima) { return scores::active().block_maxima(x, n, maxima); }

void block_weights(const float* x, int64_t n, const SoftmaxScale& scale, const float* maxima, double* sums) {
  scores::active().block_weights(x, n, scale, maxima, sums);
}

int64_t row_top(const float* x, int64_t n, float max) { return std::find(x, x + n, max) - x; }

}  // namespace paro
