// Log-softmax sums over rows of logits, for perplexity and KL divergence. Each row is read in f32 and summed in f64.
#pragma once

#include <cstdint>

namespace paro {

struct RowSum {
  float max = 0.0f;
  bool finite = true;        // false: a NaN or infinity is among the logits, and the rest says nothing
  double log_sum_exp = 0.0;  // log sum_i exp(x_i)
};
/// x [n], n >= 1.
RowSum row_sum(const float* x, int64_t n);

/// KL(p || q) = sum_i p_i (log p_i - log q_i) in nats, p = softmax(teacher), q = softmax(student), both [n] and finite.
double row_kl(const float* teacher, const RowSum& teacher_sum, const float* student, const RowSum& student_sum,
              int64_t n);

/// The first index of the maximum.
int64_t row_top(const float* x, int64_t n, float max);

}  // namespace paro
