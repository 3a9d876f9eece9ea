#include "kernels/attention/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "kernels/test_variants.h"

namespace paro {
namespace {

constexpr KvBits kFormats[] = {KvBits::k16, KvBits::k8};

/// Calls visit for each variant of each format that this processor can run.
template <typename Visit>
void for_each_kernel(const Visit& visit) {
  for (const KvBits bits : kFormats) for_each_variant(attention_variants(bits), visit);
}

std::string name_of(const AttentionKernels& kernels) {
  return std::string(isa_name(kernels.isa)) + (kernels.bits == KvBits::k8 ? ", int8" : ", f16");
}

/// x as an int8 cache keeps it: rounded to whole steps of an f16 scale.
void round_to_int8(float* x, int64_t n) {
  float largest = 0.0f;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  const float scale = f16_to_f32(f32_to_f16(largest / 127.0f));
  for (int64_t i = 0; i < n; ++i)
    x[i] = scale > 0.0f ? std::clamp(std::nearbyint(x[i] / scale), -127.0f, 127.0f) * scale : 0.0f;
}

/// Memory of one head's chunks.
struct Memory {
  Memory(KvBits bits, int64_t positions, int64_t head_dim, std::byte fill = std::byte{0})
      : chunks((positions + kAttentionChunk - 1) / kAttentionChunk),
        // A gap between the chunks: other heads lie there.
        stride(kv_chunk_bytes(bits, head_dim) + 192),
        data(static_cast<size_t>(chunks * stride), fill),
        head{data.data(), stride, head_dim} {}
  int64_t chunks, stride;
  std::vector<std::byte> data;
  KvHead head;
};

/// A cache of one head filled by the variant's own store, and the rounded keys and values beside it.
struct Cache {
  Cache(const AttentionKernels& kernels, int64_t positions, int64_t head_dim, uint32_t seed)
      : memory(kernels.bits, positions, head_dim),
        head(memory.head),
        keys(random_floats(positions * head_dim, seed)),
        values(random_floats(positions * head_dim, seed + 1)) {
    for (int64_t p = 0; p < positions; ++p) {
      float* k = keys.data() + p * head_dim;
      float* v = values.data() + p * head_dim;
      kernels.store_position(head, p, k, v);
      if (kernels.bits == KvBits::k8) {
        for (int64_t d = 0; d < head_dim; d += kKeyGroup) round_to_int8(k + d, std::min(kKeyGroup, head_dim - d));
        round_to_int8(v, head_dim);
      } else {
        for (int64_t d = 0; d < head_dim; ++d) {
          k[d] = f16_to_f32(f32_to_f16(k[d]));
          v[d] = f16_to_f32(f32_to_f16(v[d]));
        }
      }
      double square = 0.0;
      for (int64_t d = 0; d < head_dim; ++d) {
        square += static_cast<double>(k[d]) * k[d];
        largest_value = std::max(largest_value, static_cast<double>(std::abs(v[d])));
      }
      largest_key = std::max(largest_key, std::sqrt(square));
    }
  }
  Memory memory;
  KvHead head;
  std::vector<float> keys, values;                // [positions, head_dim]
  double largest_key = 0.0, largest_value = 0.0;  // norm of a key, channel of a value
};

/// What f32 arithmetic loses at scores of about 1; in chunks of int8 also the rounding of queries and weights to 16
/// bits (reference: not): independent errors of steps of 1 / 32639 of the largest, one to each channel of a score, one
/// to each of 256 weights, taken at six standard deviations of step / sqrt(12).
double tolerance(const AttentionKernels& kernels, const Cache& cache, const std::vector<float>& q, bool chunks) {
  double bound = 4e-6;
  if (!chunks || kernels.bits == KvBits::k16 || kernels.isa == Isa::kReference) return bound;
  double largest = 0.0;
  for (const float x : q) largest = std::max(largest, static_cast<double>(std::abs(x)));
  const double score = largest / 32639.0 * cache.largest_key;
  return bound + 6.0 / std::sqrt(12.0) * (score + std::sqrt(256.0) / 32639.0) * cache.largest_value;
}

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
                      double tolerance, const std::string& what) {
  const int64_t head_dim = cache.head.head_dim;
  for (size_t i = 0; i < rows.first.size(); ++i) {
    const auto expected = attend(cache, q.data() + static_cast<int64_t>(i) * head_dim, rows.first[i], rows.last[i]);
    for (size_t d = 0; d < expected.size(); ++d)
      ASSERT_NEAR(out[i * expected.size() + d], expected[d], tolerance)
          << what << ", row " << i << ", channel " << d << ", head_dim " << head_dim;
  }
}

TEST(Attention, HeadDimsAndRowsAgainstDouble) {
  for_each_kernel([&](const AttentionKernels& kernels) {
    for (int64_t head_dim : {4, 8, 20, 64, 80, 96, 100, 128, 256}) {
      const Cache cache(kernels, 150, head_dim, 11);
      for (const auto& [start, tokens, heads] :
           {std::tuple{0, 150, 1}, {0, 1, 3}, {3, 2, 4}, {100, 21, 3}, {140, 5, 5}, {63, 2, 1}, {64, 1, 7}}) {
        const Rows rows = causal(start, tokens, heads, 0);
        const auto count = static_cast<int64_t>(rows.first.size());
        const std::vector<float> q =
            random_floats(count * head_dim, 12, 1.0f / std::sqrt(static_cast<float>(head_dim)));
        expect_attention(cache, q, rows, run_rows(kernels, cache, q, rows), tolerance(kernels, cache, q, false),
                         name_of(kernels) + ", rows");
        expect_attention(cache, q, rows, run_chunks(kernels, cache, q, rows), tolerance(kernels, cache, q, true),
                         name_of(kernels) + ", chunks");
      }
    }
  });
}

TEST(Attention, WindowsAndLongContexts) {
  for_each_kernel([&](const AttentionKernels& kernels) {
    const int64_t head_dim = 32;
    const Cache cache(kernels, 1400, head_dim, 21);
    for (int64_t window : {0, 1, 5, 17, 64, 255, 700}) {
      for (const auto& [start, tokens, heads] : {std::tuple{0, 70, 2}, {1390, 9, 3}, {512, 1, 1}, {1023, 3, 2}}) {
        const Rows rows = causal(start, tokens, heads, window);
        const auto count = static_cast<int64_t>(rows.first.size());
        const std::vector<float> q = random_floats(count * head_dim, 22, 0.5f);
        expect_attention(cache, q, rows, run_rows(kernels, cache, q, rows), tolerance(kernels, cache, q, false),
                         name_of(kernels) + ", rows");
        expect_attention(cache, q, rows, run_chunks(kernels, cache, q, rows), tolerance(kernels, cache, q, true),
                         name_of(kernels) + ", chunks");
      }
    }
  });
}

TEST(Attention, SharpAndFlatScores) {
  for_each_kernel([&](const AttentionKernels& kernels) {
    const int64_t head_dim = 64;
    const Cache cache(kernels, 300, head_dim, 31);
    for (float size : {0.0f, 10.0f, 100.0f}) {
      const Rows rows = causal(290, 10, 1, 0);
      std::vector<float> q = random_floats(10 * head_dim, 32, size);
      // Scores of hundreds: their own f32 rounding is what limits the weights.
      for (const bool chunks : {false, true}) {
        const auto out = chunks ? run_chunks(kernels, cache, q, rows) : run_rows(kernels, cache, q, rows);
        for (size_t i = 0; i < 10; ++i) {
          const auto expected = attend(cache, q.data() + i * 64, rows.first[i], rows.last[i]);
          for (size_t d = 0; d < 64; ++d)
            ASSERT_NEAR(out[i * 64 + d], expected[d], tolerance(kernels, cache, q, chunks) + size * 2e-5);
        }
      }
    }
  });
}

// A row's result depends neither on the rows beside it nor on where the work was cut: to the bit.
TEST(Attention, RowsAreIndependentOfTheirCompany) {
  for_each_kernel([&](const AttentionKernels& kernels) {
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
  for_each_variant(attention_variants(KvBits::k16), [&](const AttentionKernels& kernels) {
    for (int64_t head_dim : {8, 12, 64, 81}) {
      Memory memory(KvBits::k16, 300, head_dim, std::byte{0xff});
      std::vector<float> key = random_floats(head_dim, 51, 10.0f);
      std::vector<float> value = random_floats(head_dim, 52, 1e-4f);
      key[0] = 1e6f;
      value[1] = -std::numeric_limits<float>::infinity();
      kernels.store_position(memory.head, 256 + 19, key.data(), value.data());
      std::vector<std::byte> expected(memory.data.size(), std::byte{0xff});
      auto* k = reinterpret_cast<uint16_t*>(expected.data() + memory.stride);
      auto* v = k + kAttentionChunk * head_dim;
      for (int64_t d = 0; d < head_dim; ++d) {
        const auto i = static_cast<size_t>(d);
        k[16 * head_dim + d * 16 + 3] = d == 0 ? 0x7bff : f32_to_f16(key[i]);
        v[19 * padded_head_dim(head_dim) + d] = d == 1 ? 0xfbff : f32_to_f16(value[i]);
      }
      EXPECT_TRUE(memory.data == expected) << name_of(kernels) << ", head_dim " << head_dim;
    }
  });
}

// Every variant of an int8 cache writes the reference's bytes, and no others.
TEST(Attention, Int8StoreEqualsTheReference) {
  const AttentionKernels& reference = attention_variants(KvBits::k8).front();
  for_each_variant(attention_variants(KvBits::k8), [&](const AttentionKernels& kernels) {
    for (int64_t head_dim : {4, 8, 30, 64, 81, 128, 256}) {
      Memory expected(KvBits::k8, 300, head_dim), found(KvBits::k8, 300, head_dim);
      for (int64_t position : {0, 1, 17, 255, 256, 299}) {
        std::vector<float> key = random_floats(head_dim, static_cast<uint32_t>(position), 10.0f);
        std::vector<float> value = random_floats(head_dim, static_cast<uint32_t>(position) + 1, 1e-4f);
        if (position == 1) key.assign(key.size(), 0.0f);
        if (position == 17) value.assign(value.size(), 1e-9f);  // below the smallest scale
        if (position == 255) key[2] = 1e30f, value[3] = -std::numeric_limits<float>::infinity();
        reference.store_position(expected.head, position, key.data(), value.data());
        kernels.store_position(found.head, position, key.data(), value.data());
      }
      const auto differs = std::mismatch(found.data.begin(), found.data.end(), expected.data.begin()).first;
      EXPECT_EQ(differs - found.data.begin(), std::ssize(found.data)) << name_of(kernels) << ", head_dim " << head_dim;
    }
  });
}

}  // namespace
}  // namespace paro
