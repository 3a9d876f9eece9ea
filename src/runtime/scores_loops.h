// The loops behind scores.h, compiled once for each instruction set (the including file's flags decide): 16 lanes by
// the compiler's vector types. exp by 2^n times a polynomial: relative error 2e-7 on [-87, 0], 0 below.
// Lanes are f32 for 32 steps and then added to f64, so sums are as good as exp.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "runtime/scores_variants.h"

namespace paro::scores {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kBlock = 32 * kLanes;
typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t Ints __attribute__((vector_size(kLanes * sizeof(int32_t))));
typedef uint32_t Bits __attribute__((vector_size(kLanes * sizeof(uint32_t))));

// Vectors go by reference: as values they would change the ABI with the flags.
inline __attribute__((always_inline)) void load(const float* from, Floats& to) { std::memcpy(&to, from, sizeof to); }

/// x = exp(x) for x <= 0.
inline __attribute__((always_inline)) void exponential(Floats& x) {
  const Ints vanishes = x < -87.0f;
  x = vanishes ? Floats{} - 87.0f : x;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer that lands in the low bits
  const Floats shifted = x * 1.44269504f + kRound;
  const Floats n = shifted - kRound;
  const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  // Cephes' expf polynomial on [-ln 2 / 2, ln 2 / 2].
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // The low 9 bits of the shifted value are n modulo 512; the rest leaves with the shift.
  Bits bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + (uint32_t{127} << 23);
  Floats scale;
  std::memcpy(&scale, &bits, sizeof scale);
  p *= scale;
  x = vanishes ? Floats{} : p;
}

inline double add_lanes(const Floats& x) {
  double sum = 0.0;
  for (int64_t i = 0; i < kLanes; ++i) sum += static_cast<double>(x[i]);
  return sum;
}

RowSum row_sum_loop(const float* x, int64_t n) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  Floats most = Floats{} - kLargest;
  Ints good = Ints{} - 1;
  RowSum sum;
  sum.max = -kLargest;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Floats v;
    load(x + i, v);
    most = v > most ? v : most;
    good &= (v <= kLargest) & (v >= -kLargest);
  }
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    sum.max = most[lane] > sum.max ? most[lane] : sum.max;
    sum.finite = sum.finite && good[lane] != 0;
  }
  for (; i < n; ++i) {
    sum.max = x[i] > sum.max ? x[i] : sum.max;
    sum.finite = sum.finite && std::isfinite(x[i]);
  }
  if (!sum.finite) return sum;
  double total = 0.0;
  const int64_t whole = n - n % kLanes;
  for (int64_t begin = 0; begin < whole; begin += kBlock) {
    Floats lanes = {};
    const int64_t end = begin + kBlock < whole ? begin + kBlock : whole;
    for (int64_t j = begin; j < end; j += kLanes) {
      Floats v;
      load(x + j, v);
      v -= sum.max;
      exponential(v);
      lanes += v;
    }
    total += add_lanes(lanes);
  }
  for (int64_t j = whole; j < n; ++j) total += std::exp(static_cast<double>(x[j]) - sum.max);
  sum.log_sum_exp = static_cast<double>(sum.max) + std::log(total);
  return sum;
}

/// sum_i exp(t_i - max) (t_i - s_i): the caller divides by the teacher's sum and adds the two log sums.
double weighted_difference_loop(const float* t, float max, const float* s, int64_t n) {
  double total = 0.0;
  const int64_t whole = n - n % kLanes;
  for (int64_t begin = 0; begin < whole; begin += kBlock) {
    Floats lanes = {};
    const int64_t end = begin + kBlock < whole ? begin + kBlock : whole;
    for (int64_t j = begin; j < end; j += kLanes) {
      Floats a;
      Floats b;
      load(t + j, a);
      load(s + j, b);
      Floats p = a - max;
      exponential(p);
      lanes += p * (a - b);
    }
    total += add_lanes(lanes);
  }
  for (int64_t j = whole; j < n; ++j) {
    total += std::exp(static_cast<double>(t[j]) - max) * (static_cast<double>(t[j]) - s[j]);
  }
  return total;
}

/// The largest lane.
inline float largest_lane(const Floats& x) {
  Floats v = x;
  Floats w = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  v = w > v ? w : v;
  w = __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
  v = w > v ? w : v;
  w = __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  v = w > v ? w : v;
  return v[0] > v[1] ? v[0] : v[1];
}

bool block_maxima_loop(const float* x, int64_t n, float* maxima) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  constexpr float kLeast = -std::numeric_limits<float>::infinity();
  Ints good = Ints{} - 1;
  bool tail_good = true;
  for (int64_t begin = 0; begin < n; begin += kScoreBlock) {
    const int64_t end = begin + kScoreBlock < n ? begin + kScoreBlock : n;
    Floats most = Floats{} + kLeast;
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      Floats v;
      load(x + i, v);
      most = v > most ? v : most;
      good &= v <= kLargest;  // false for NaN, too
    }
    float max = largest_lane(most);
    for (; i < end; ++i) {
      max = x[i] > max ? x[i] : max;
      tail_good = tail_good && x[i] <= kLargest;
    }
    *maxima++ = max;
  }
  for (int64_t lane = 0; lane < kLanes; ++lane) tail_good = tail_good && good[lane] != 0;
  return tail_good;
}

void block_weights_loop(const float* x, int64_t n, const SoftmaxScale& scale, const float* maxima, double* sums) {
  for (int64_t begin = 0; begin < n; begin += kScoreBlock, ++maxima, ++sums) {
    *sums = 0.0;
    if (!(*maxima >= scale.least)) continue;
    const int64_t end = begin + kScoreBlock < n ? begin + kScoreBlock : n;
    Floats lanes = {};
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      Floats v;
      load(x + i, v);
      v = (v - scale.max) * scale.factor;
      exponential(v);
      lanes += v;
    }
    *sums = add_lanes(lanes);
    for (; i < end; ++i) *sums += std::exp((static_cast<double>(x[i]) - scale.max) * scale.factor);
  }
}

}  // namespace
}  // namespace paro::scores
