#include "runtime/scores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/cpu.h"
#include "runtime/scores_variants.h"

namespace paro {
namespace {

std::vector<float> random_row(int64_t n, float spread, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(3.0f, spread);
  std::vector<float> row(static_cast<size_t>(n));
  for (float& x : row) x = normal(random);
  return row;
}

double exact_log_sum(const std::vector<float>& x) {
  long double sum = 0.0L;
  for (const float v : x) sum += std::exp(static_cast<long double>(v));
  return static_cast<double>(std::log(sum));
}

double exact_kl(const std::vector<float>& t, const std::vector<float>& s) {
  const double lt = exact_log_sum(t);
  const double ls = exact_log_sum(s);
  long double kl = 0.0L;
  for (size_t i = 0; i < t.size(); ++i) {
    const long double log_p = static_cast<long double>(t[i]) - lt;
    kl += std::exp(log_p) * (log_p - (static_cast<long double>(s[i]) - ls));
  }
  return static_cast<double>(kl);
}

std::vector<const scores::Variant*> variants() {
  std::vector<const scores::Variant*> list = {&scores::kGeneric};
#if defined(__x86_64__)
  for (const Isa isa : supported_isas()) {
    if (isa == Isa::kAvx2) list.push_back(&scores::kAvx2);
    if (isa == Isa::kAvx512) list.push_back(&scores::kAvx512);
  }
#endif
  return list;
}

TEST(Scores, LogSumMatchesExtendedPrecisionInEveryVariant) {
  for (const scores::Variant* variant : variants()) {
    for (const int64_t n : {1, 5, 16, 17, 511, 512, 1000, 49152}) {
      for (const float spread : {0.1f, 2.0f, 30.0f}) {
        const std::vector<float> row = random_row(n, spread, static_cast<uint64_t>(n));
        EXPECT_NEAR(variant->row_sum(row.data(), n).log_sum_exp, exact_log_sum(row), 3e-7) << n << " " << spread;
      }
    }
  }
}

TEST(Scores, DivergenceMatchesExtendedPrecision) {
  for (const int64_t n : {1, 31, 512, 5000}) {
    for (const float noise : {0.0f, 0.01f, 1.0f}) {
      const std::vector<float> t = random_row(n, 3.0f, 7);
      std::vector<float> s = random_row(n, noise + 1e-9f, 8);
      for (size_t i = 0; i < s.size(); ++i) s[i] += t[i];
      const RowSum a = row_sum(t.data(), n);
      const RowSum b = row_sum(s.data(), n);
      const double exact = exact_kl(t, s);
      EXPECT_NEAR(row_kl(t.data(), a, s.data(), b, n), exact, 2e-6 + 1e-6 * exact) << n << " " << noise;
    }
  }
}

TEST(Scores, IdenticalRowsHaveNoDivergence) {
  const std::vector<float> row = random_row(1000, 5.0f, 3);
  const RowSum sum = row_sum(row.data(), 1000);
  EXPECT_EQ(row_kl(row.data(), sum, row.data(), sum, 1000), 0.0);
}

TEST(Scores, NonFiniteLogitsAreNoticedInEveryLane) {
  for (const scores::Variant* variant : variants()) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
      for (const size_t at : {size_t{0}, size_t{15}, size_t{16}, size_t{98}}) {
        std::vector<float> row = random_row(99, 1.0f, 4);
        row[at] = bad;
        EXPECT_FALSE(variant->row_sum(row.data(), 99).finite) << at;
      }
    }
  }
}

TEST(Scores, BlockMaximaInEveryVariant) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const scores::Variant* variant : variants()) {
    for (const int64_t n : {1, 15, 16, 128, 129, 1000}) {
      std::vector<float> row = random_row(n, 2.0f, static_cast<uint64_t>(n));
      if (n > 20) row[3] = -inf;
      std::vector<float> maxima(static_cast<size_t>(score_blocks(n)));
      EXPECT_TRUE(variant->block_maxima(row.data(), n, maxima.data()));
      for (int64_t block = 0; block < score_blocks(n); ++block) {
        const auto begin = row.begin() + block * kScoreBlock;
        const auto end = row.begin() + std::min(n, (block + 1) * kScoreBlock);
        EXPECT_EQ(maxima[static_cast<size_t>(block)], *std::max_element(begin, end)) << n << " " << block;
      }
      for (const float bad : {inf, std::numeric_limits<float>::quiet_NaN()}) {
        for (const int64_t at : {int64_t{0}, n / 2, n - 1}) {
          std::vector<float> wrong = row;
          wrong[static_cast<size_t>(at)] = bad;
          EXPECT_FALSE(variant->block_maxima(wrong.data(), n, maxima.data())) << n << " " << at;
        }
      }
    }
    std::vector<float> maxima(2);
    EXPECT_TRUE(variant->block_maxima(std::vector<float>(140, -inf).data(), 140, maxima.data()));
    EXPECT_EQ(maxima, std::vector<float>(2, -inf)) << "a mask";
  }
}

TEST(Scores, BlockWeightsMatchDoublePrecisionInEveryVariant) {
  for (const scores::Variant* variant : variants()) {
    for (const int64_t n : {1, 100, 128, 1000}) {
      std::vector<float> row = random_row(n, 4.0f, static_cast<uint64_t>(n));
      row[0] = -std::numeric_limits<float>::infinity();
      if (n == 1) row[0] = 0.5f;
      std::vector<float> maxima(static_cast<size_t>(score_blocks(n)));
      ASSERT_TRUE(variant->block_maxima(row.data(), n, maxima.data()));
      const float max = *std::max_element(maxima.begin(), maxima.end());
      for (const float factor : {0.01f, 1.0f, 1.4f, 1e30f}) {
        std::vector<double> sums(maxima.size());
        variant->block_weights(row.data(), n, {max, factor, max - 12.0f}, maxima.data(), sums.data());
        for (size_t block = 0; block < sums.size(); ++block) {
          double exact = 0.0;
          for (size_t i = block * kScoreBlock; i < std::min(row.size(), (block + 1) * kScoreBlock); ++i)
            exact += std::exp((static_cast<double>(row[i]) - max) * factor);
          if (maxima[block] < max - 12.0f) exact = 0.0;
          EXPECT_NEAR(sums[block], exact, 4e-6 * exact + 1e-30) << n << " " << block << " " << factor;
        }
      }
    }
  }
}

TEST(Scores, TopIsTheFirstOfEquals) {
  const std::vector<float> row = {1.0f, 4.0f, 2.0f, 4.0f};
  EXPECT_EQ(row_top(row.data(), 4, row_sum(row.data(), 4).max), 1);
}

}  // namespace
}  // namespace paro
