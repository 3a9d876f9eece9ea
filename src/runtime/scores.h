// Sums over rows of logits: log-softmax for perplexity and KL divergence, maxima and softmax weights of blocks for
// sampling. Each row is read in f32 and summed in f64.
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

/// Values of a block of block_maxima and block_weights; the last one of a row may be shorter.
constexpr int64_t kScoreBlock = 128;
inline int64_t score_blocks(int64_t n) { return (n + kScoreBlock - 1) / kScoreBlock; }

/// maxima [score_blocks(n)]: the largest of each block of x [n] (minus infinity where all are). False, with maxima
/// that say nothing, when a NaN or plus infinity is among x.
bool block_maxima(const float* x, int64_t n, float* maxima);

/// What turns a logit x into a weight: exp((x - max) * factor) when x's block reaches `least`, else 0.
struct SoftmaxScale {
  float max;     // finite, no smaller than any x
  float factor;  // 1 / temperature, finite
  float least;
};
/// sums [score_blocks(n)] of each block's weights; `maxima` are those of block_maxima.
/// The relative error is that of factor in f32 times (max - x): 1e-7 to 4e-6 where weights are 1 to e^-32.
void block_weights(const float* x, int64_t n, const SoftmaxScale& scale, const float* maxima, double* sums);

/// The first index of the maximum.
int64_t row_top(const float* x, int64_t n, float max);

}  // namespace paro
