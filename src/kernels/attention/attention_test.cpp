#include "kernels/attention/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "kernels/test_variants.h"

namespace paro {
namespace {

/// A cache of one head filled by the variant's own store, and the rounded keys and values beside it.
struct Cache {
  Cache(const AttentionKernels& kernels, int64_t positions, int64_t head_dim, uint32_t seed)
      : k(static_cast<size_t>((positions + 15) / 16 * 16 * head_dim)),
        v(static_cast<size_t>((positions + 15) / 16 * 16 * padded_head_dim(head_dim))),
        head{k.data(), v.data(), head_dim},
        keys(random_floats(positions * head_dim, seed)),
        values(random_floats(positions * head_dim, seed + 1)) {
    for (int64_t p = 0; p < positions; ++p)
      kernels.store_position(head, p, keys.data() + p * head_dim, values.data() + p * head_dim);
    for (float& x : keys) x = f16_to_f32(f32_to_f16(x));
    for (float& x : values) x = f16_to_f32(f32_to_f16(x));
  }
  std::vector<uint16_t> k, v;
  KvHead head;
  std::vector<float> keys, values;  // [positions, head_dim]
};

/// Softmax attention of one query over [first, last] in double.
std::vector<double> attend(const Cache& cache, const float* q, int64_t first, int64_t last) {
  const int64_t head_dim = cache.head.head_dim;
  std::vector<double> scores;
  double max = -1e300;
  for (int64_t p = first; p <= last; ++p) {
    double s = 0.0;
    for (int64_t d = 0; d < head_dim; ++d)
      s += static_cast<double>(q[d]) * cache.keys[static_cast<size_t>(p * head_dim + d)];
    scores.push_back(s);
    max = std::max(max, s);
  }
  std::vector<double> out(static_cast<size_t>(head_dim));
  double sum = 0.0;
  for (int64_t p = first; p <= last; ++p) {
    const double weight = std::exp(scores[static_cast<size_t>(p - first)] - max);
    sum += weight;
    for (int64_t d = 0; d < head_dim; ++d)
      out[static_cast<size_t>(d)] += weight * cache.values[static_cast<size_t>(p * head_dim + d)];
  }
  for (double& x : out) x /= sum;
  return out;
}

struct Rows {
  std::vector<int64_t> first, last;
};

/// `tokens` rows from position `start` on, `heads` queries each.
Rows causal(int64_t start, int64_t tokens, int64_t heads, int64_t window) {
  Rows rows;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      rows.last.push_back(start + t);
      rows.first.push_back(window > 0 ? std::max<int64_t>(0, start + t - window + 1) : 0);
    }
  }
  return rows;
}

std::vector<float> run_rows(const AttentionKernels& kernels, const Cache& cache, const std::vector<float>& q,
                            const Rows& rows) {
  const auto count = static_cast<int64_t>(rows.first.size());
  const int64_t head_dim = cache.head.head_dim;
  std::vector<float> out(q.size(), 7.0f);
  std::vector<float*> pointers;
  for (int64_t i = 0; i < count; ++i) pointers.push_back(out.data() + i * head_dim);
  std::vector<float> scratch(static_cast<size_t>(attention_scratch(count, head_dim)));
  kernels.attend_rows(
      {cache.head, q.data(), count, rows.first.data(), rows.last.data(), scratch.data(), pointers.data()});
  return out;
}

std::vector<float> run_chunks(const AttentionKernels& kernels, const Cache& cache, const std::vector<float>& q,
                              const Rows& rows) {
  const auto count = static_cast<int64_t>(rows.first.size());
  const int64_t head_dim = cache.head.head_dim;
  const int64_t padded = padded_head_dim(head_dim);
  const int64_t begin = rows.first.front() / kAttentionChunk;
  const int64_t chunks = rows.last.back() / kAttentionChunk + 1 - begin;
  std::vector<float> max(static_cast<size_t>(chunks * count)), sum(max.size());
  std::vector<float> partial(max.size() * static_cast<size_t>(padded));
  std::vector<float> scores(static_cast<size_t>(count * kAttentionChunk));
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t start = (begin + c) * kAttentionChunk;
    kernels.attend_chunk({cache.head, q.data(), count, rows.first.data(), rows.last.data(), start,
                          std::min(start + kAttentionChunk, rows.last.back() + 1), scores.data(),
                          max.data() + c * count, sum.data() + c * count, partial.data() + c * count * padded});
  }
  std::vector<float> out(q.size());
  std::vector<float*> pointers;
  for (int64_t i = 0; i < count; ++i) pointers.push_back(out.data() + i * head_dim);
  merge_chunks(max.data(), sum.data(), partial.data(), chunks, count, head_dim, pointers.data());
  return out;
}

void expect_attention(const Cache& cache, const std::vector<float>& q, const Rows& rows, const std::vector<float>& out,
                      std::string_view what) {
  const int64_t head_dim = cache.head.head_dim;
  for (size_t i = 0; i < rows.first.size(); ++i) {
    const auto expected = attend(cache, q.data() + static_cast<int64_t>(i) * head_dim, rows.first[i], rows.last[i]);
    for (size_t d = 0; d < expected.size(); ++d)
      ASSERT_NEAR(out[i * expected.size() + d], expected[d], 4e-6)
          << what << ", row " << i << ", channel " << d << ", head_dim " << head_dim;
  }
}

TEST(Attention, HeadDimsAndRowsAgainstDouble) {
  for_each_variant(attention_variants(), [&](const AttentionKernels& kernels) {
    for (int64_t head_dim : {4, 8, 20, 64, 80, 96, 100, 128, 256}) {
      const Cache cache(kernels, 150, head_dim, 11);
      for (const auto& [start, tokens, heads] :
           {std::tuple{0, 150, 1}, {0, 1, 3}, {3, 2, 4}, {100, 21, 3}, {140, 5, 5}, {63, 2, 1}, {64, 1, 7}}) {
        const Rows rows = causal(start, tokens, heads, 0);
        const auto count = static_cast<int64_t>(rows.first.size());
        const std::vector<float> q =
            random_floats(count * head_dim, 12, 1.0f / std::sqrt(static_cast<float>(head_dim)));
        const std::string_view isa = isa_name(kernels.isa);
        expect_attention(cache, q, rows, run_rows(kernels, cache, q, rows), isa);
        expect_attention(cache, q, rows, run_chunks(kernels, cache, q, rows), isa);
      }
    }
  });
}

TEST(Attention, WindowsAndLongContexts) {
  for_each_variant(attention_variants(), [&](const AttentionKernels& kernels) {
    const int64_t head_dim = 32;
    const Cache cache(kernels, 1400, head_dim, 21);
    for (int64_t window : {0, 1, 5, 17, 64, 255, 700}) {
      for (const auto& [start, tokens, heads] : {std::tuple{0, 70, 2}, {1390, 9, 3}, {512, 1, 1}, {1023, 3, 2}}) {
        const Rows rows = causal(start, tokens, heads, window);
        const auto count = static_cast<int64_t>(rows.first.size());
        const std::vector<float> q = random_floats(count * head_dim, 22, 0.5f);
        const std::string_view isa = isa_name(kernels.isa);
        expect_attention(cache, q, rows, run_rows(kernels, cache, q, rows), isa);
        expect_attention(cache, q, rows, run_chunks(kernels, cache, q, rows), isa);
      }
    }
  });
}

TEST(Attention, SharpAndFlatScores) {
  for_each_variant(attention_variants(), [&](const AttentionKernels& kernels) {
    const int64_t head_dim = 64;
    const Cache cache(kernels, 300, head_dim, 31);
    for (float size : {0.0f, 10.0f, 100.0f}) {
      const Rows rows = causal(290, 10, 1, 0);
      std::vector<float> q = random_floats(10 * head_dim, 32, size);
      // Scores of hundreds: their own f32 rounding is what limits the weights.
      for (const auto& out : {run_rows(kernels, cache, q, rows), run_chunks(kernels, cache, q, rows)}) {
        for (size_t i = 0; i < 10; ++i) {
          const auto expected = attend(cache, q.data() + i * 64, rows.first[i], rows.last[i]);
          for (size_t d = 0; d < 64; ++d) ASSERT_NEAR(out[i * 64 + d], expected[d], 4e-6 + size * 2e-5);
        }
      }
    }
  });
}

// A row's result depends neither on the rows beside it nor on where the work was cut: to the bit.
TEST(Attention, RowsAreIndependentOfTheirCompany) {
  for_each_variant(attention_variants(), [&](const AttentionKernels& kernels) {
    const int64_t head_dim = 64;
    const Cache cache(kernels, 400, head_dim, 41);
    for (int64_t window : {0, 90}) {
      const Rows rows = causal(130, 100, 2, window);
      const std::vector<float> q = random_floats(200 * head_dim, 42, 0.3f);
      const std::vector<float> together = run_rows(kernels, cache, q, rows);
      for (size_t begin = 0; begin < 200;) {
        const size_t count = std::min<size_t>(200 - begin, 1 + begin % 17);
        const Rows part{
            {rows.first.begin() + static_cast<int64_t>(begin),
             rows.first.begin() + static_cast<int64_t>(begin + count)},
            {rows.last.begin() + static_cast<int64_t>(begin), rows.last.begin() + static_cast<int64_t>(begin + count)}};
        const std::vector<float> q_part(q.begin() + static_cast<int64_t>(begin) * head_dim,
                                        q.begin() + static_cast<int64_t>(begin + count) * head_dim);
        const std::vector<float> alone = run_rows(kernels, cache, q_part, part);
        for (size_t i = 0; i < alone.size(); ++i)
          ASSERT_EQ(alone[i], together[begin * static_cast<size_t>(head_dim) + i]);
        begin += count;
      }
    }
  });
}

TEST(Attention, StoreRoundsAndSaturates) {
  for_each_variant(attention_variants(), [&](const AttentionKernels& kernels) {
    for (int64_t head_dim : {8, 12, 64, 81}) {
      std::vector<uint16_t> k(static_cast<size_t>(32 * head_dim), 0xffff);
      std::vector<uint16_t> v(static_cast<size_t>(32 * padded_head_dim(head_dim)), 0xffff);
      const KvHead head{k.data(), v.data(), head_dim};
      std::vector<float> key = random_floats(head_dim, 51, 10.0f);
      std::vector<float> value = random_floats(head_dim, 52, 1e-4f);
      key[0] = 1e6f;
      value[1] = -std::numeric_limits<float>::infinity();
      kernels.store_position(head, 19, key.data(), value.data());
      for (int64_t d = 0; d < head_dim; ++d) {
        const auto i = static_cast<size_t>(d);
        EXPECT_EQ(k[static_cast<size_t>(16 * head_dim + d * 16 + 3)], d == 0 ? 0x7bff : f32_to_f16(key[i]));
        EXPECT_EQ(v[static_cast<size_t>(19 * padded_head_dim(head_dim) + d)], d == 1 ? 0xfbff : f32_to_f16(value[i]));
      }
      EXPECT_EQ(std::count(k.begin(), k.end(), 0xffff), 31 * head_dim);
      EXPECT_EQ(std::count(v.begin(), v.end(), 0xffff), 32 * padded_head_dim(head_dim) - head_dim);
    }
  });
}

}  // namespace
}  // namespace paro
