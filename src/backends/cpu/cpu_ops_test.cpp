#include "backends/cpu/cpu_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>

#include "backends/cpu/fake_linear_test.h"
#include "backends/cpu/profile.h"
#include "backends/cpu/weights.h"
#include "base/error.h"

namespace paro {
namespace {

std::vector<float> random_floats(int64_t n, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(engine);
  return values;
}

Tensor filled(Ops& ops, int64_t rows, int64_t dim, uint32_t seed) {
  const Tensor t = ops.make(rows, dim);
  const std::vector<float> values = random_floats(rows * dim, seed);
  std::memcpy(t.data, values.data(), values.size() * sizeof(float));
  return t;
}

std::vector<float> copy_of(Tensor t) { return {t.f32(), t.f32() + t.rows * t.dim}; }

FakeLinear fake(int64_t out, int64_t in, uint32_t seed, int basis = 0) {
  return FakeLinear(out, in, random_floats(out * in, seed, 1.0f / std::sqrt(static_cast<float>(in))), basis);
}

void expect_near(const std::vector<float>& a, const std::vector<float>& b, float tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << i;
}

ModelConfig small_config() {
  ModelConfig config;
  config.layers = 2;
  config.heads = 6;
  config.kv_heads = 2;
  config.head_dim = 32;
  return config;
}

/// Some sequences with their caches, run through attend() step by step.
struct Sequences {
  explicit Sequences(const ModelConfig& model_config, int64_t count, int64_t capacity = 1000, KvBits bits = KvBits::k16)
      : config(model_config) {
    for (int64_t i = 0; i < count; ++i) caches.push_back(make_cpu_cache(config, capacity, bits));
  }
  /// Appends rows[i] rows to sequence i; the inputs of a position depend on sequence and position only. `base`: the
  /// default body of attend().
  std::vector<float> step(Ops& ops, const std::vector<int64_t>& rows, AttentionSpec spec, bool base = false) {
    std::vector<Segment> segments;
    int64_t total = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (rows[i] > 0) segments.push_back({caches[i].get(), caches[i]->length, rows[i]});
      total += rows[i];
    }
    const OpsScope scope(ops);
    spec.heads = config.heads;
    spec.kv_heads = config.kv_heads;
    spec.head_dim = config.head_dim;
    spec.scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim));
    const Tensor q = ops.make(total, spec.heads * spec.head_dim);
    const Tensor k = ops.make(total, spec.kv_heads * spec.head_dim);
    const Tensor v = ops.make(total, spec.kv_heads * spec.head_dim);
    int64_t row = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      for (int64_t r = 0; r < rows[i]; ++r, ++row) {
        const auto seed = static_cast<uint32_t>(i * 100000 + static_cast<size_t>(caches[i]->length + r) * 3);
        const auto fill = [&](Tensor t, uint32_t s) {
          const std::vector<float> values = random_floats(t.dim, s);
          std::memcpy(t.f32() + row * t.dim, values.data(), values.size() * sizeof(float));
        };
        fill(q, seed);
        fill(k, seed + 1);
        fill(v, seed + 2);
      }
    }
    const std::vector<int32_t> ids(static_cast<size_t>(total));
    const Batch batch{ids, segments};
    const Tensor out = base ? ops.Ops::attend(q, k, v, spec, batch) : ops.attend(q, k, v, spec, batch);
    std::vector<float> result = copy_of(out);
    if (spec.layer == config.layers - 1)
      for (size_t i = 0; i < rows.size(); ++i) caches[i]->length += rows[i];
    return result;
  }

  ModelConfig config;
  std::vector<std::unique_ptr<KvCache>> caches;
};

Rope small_rope(int64_t head_dim) { return Rope(RopeConfig{}, head_dim, 4096); }

TEST(CpuOps, AttendEqualsItsDefaultBody) {
  const ModelConfig config = small_config();
  const Rope rope = small_rope(config.head_dim);
  const CpuVector q_norm(random_floats(32, 1)), k_norm(random_floats(32, 2));
  for (int64_t window : {0, 7}) {
    for (bool with_norm : {false, true}) {
      auto ops = make_cpu_ops({2});
      Sequences fused(config, 3), plain(config, 3);
      AttentionSpec spec;
      spec.layer = 1;
      spec.window = window;
      spec.rope = &rope;
      spec.norm_eps = 1e-6f;
      if (with_norm) spec.q_norm = &q_norm, spec.k_norm = &k_norm;
      // Prefill and decode mixed.
      for (const std::vector<int64_t>& rows :
           {std::vector<int64_t>{40, 0, 1}, {1, 3, 300}, {1, 1, 1}, {5, 0, 2}, {0, 64, 1}}) {
        const auto a = fused.step(*ops, rows, spec);
        EXPECT_EQ(ops->default_bodies(), CoarseOpCounts{});
        auto other = make_cpu_ops({1});
        const auto b = plain.step(*other, rows, spec, true);
        EXPECT_EQ(other->default_bodies(), (CoarseOpCounts{0, 1, 0, 0}));
        EXPECT_EQ(a, b);
      }
    }
  }
}

/// Attention in double from the same inputs, rope and norm left out.
TEST(CpuOps, AttentionAgainstDouble) {
  const ModelConfig config = small_config();
  for (int64_t window : {0, 50}) {
    auto ops = make_cpu_ops({2});
    Sequences sequences(config, 2);
    AttentionSpec spec;
    spec.layer = 1;
    spec.window = window;
    std::vector<std::vector<int64_t>> steps = {{100, 1}, {1, 290}, {2, 1}, {30, 5}};
    std::vector<int64_t> length(2);
    for (const auto& rows : steps) {
      const std::vector<float> out = sequences.step(*ops, rows, spec);
      int64_t row = 0;
      for (size_t s = 0; s < 2; ++s) {
        const auto input = [&](int64_t p, uint32_t which, int64_t n) {
          return random_floats(n, static_cast<uint32_t>(s * 100000 + static_cast<size_t>(p) * 3) + which);
        };
        std::vector<std::vector<float>> keys, values;
        for (int64_t p = 0; p < length[s] + rows[s]; ++p) {
          keys.push_back(input(p, 1, 64));
          values.push_back(input(p, 2, 64));
        }
        for (int64_t r = 0; r < rows[s]; ++r, ++row) {
          const int64_t p = length[s] + r;
          const std::vector<float> q = input(p, 0, 192);
          for (int64_t h = 0; h < 6; ++h) {
            const int64_t first = window > 0 ? std::max<int64_t>(0, p - window + 1) : 0;
            std::vector<double> expected(32);
            double total = 0.0;
            for (int64_t j = first; j <= p; ++j) {
              double score = 0.0;
              for (int64_t d = 0; d < 32; ++d) {
                const float key =
                    f16_to_f32(f32_to_f16(keys[static_cast<size_t>(j)][static_cast<size_t>(h / 3 * 32 + d)]));
                score += static_cast<double>(q[static_cast<size_t>(h * 32 + d)]) * key;
              }
              const double weight = std::exp(score / std::sqrt(32.0));
              total += weight;
              for (int64_t d = 0; d < 32; ++d)
                expected[static_cast<size_t>(d)] +=
                    weight *
                    f16_to_f32(f32_to_f16(values[static_cast<size_t>(j)][static_cast<size_t>(h / 3 * 32 + d)]));
            }
            for (int64_t d = 0; d < 32; ++d)
              ASSERT_NEAR(out[static_cast<size_t>((row * 6 + h) * 32 + d)], expected[static_cast<size_t>(d)] / total,
                          3e-6);
          }
        }
        length[s] += rows[s];
      }
    }
  }
}

TEST(CpuOps, ThreadsDoNotChangeABit) {
  const ModelConfig config = small_config();
  const Rope rope = small_rope(config.head_dim);
  AttentionSpec spec;
  spec.layer = 1;
  spec.rope = &rope;
  const CpuVector norm(random_floats(3000, 9));
  std::vector<std::vector<float>> expected;
  for (int threads : {1, 2, 3}) {
    auto ops = make_cpu_ops({threads});
    ASSERT_EQ(thread_pool_of(*ops).size(), threads);
    Sequences sequences(config, 2);
    std::vector<std::vector<float>> results;
    for (const std::vector<int64_t>& rows : {std::vector<int64_t>{700, 3}, {1, 200}, {1, 1}, {4, 4}, {33, 1}})
      results.push_back(sequences.step(*ops, rows, spec));
    const OpsScope scope(*ops);
    const Tensor x = filled(*ops, 50, 3000, 3);
    results.push_back(copy_of(ops->rms_norm(x, norm, 1e-5f)));
    results.push_back(copy_of(ops->silu_mul(x, filled(*ops, 50, 3000, 4))));
    if (expected.empty()) expected = results;
    EXPECT_EQ(results, expected) << threads;
  }
}

// Many rows at once, in pieces, or one by one: the same attention.
TEST(CpuOps, PrefillInPiecesIsTheSame) {
  const ModelConfig config = small_config();
  const Rope rope = small_rope(config.head_dim);
  AttentionSpec spec;
  spec.layer = 1;
  spec.rope = &rope;
  auto ops = make_cpu_ops({2});
  Sequences whole(config, 1), pieces(config, 1), single(config, 1);
  const std::vector<float> expected = whole.step(*ops, {300}, spec);
  std::vector<float> joined, one;
  for (int64_t rows : {100, 5, 64, 131}) {
    const auto part = pieces.step(*ops, {rows}, spec);
    joined.insert(joined.end(), part.begin(), part.end());
  }
  EXPECT_EQ(joined, expected);
  for (int i = 0; i < 300; ++i) {
    const auto part = single.step(*ops, {1}, spec);
    one.insert(one.end(), part.begin(), part.end());
  }
  expect_near(one, expected, 3e-6f);
}

TEST(CpuOps, LinearsShareEqualInputs) {
  auto ops = make_cpu_ops({2});
  const OpsScope scope(*ops);
  const Tensor x = filled(*ops, 3, 64, 1);
  const FakeLinear a = fake(48, 64, 2, 0), b = fake(16, 64, 3, 1), c = fake(33, 64, 4, 0);
  const Linear* weights[] = {&a, &b, &c};
  Tensor out[3], expected[3];
  ops->linears(x, weights, out);
  EXPECT_EQ(a.prepared + b.prepared + c.prepared, 2);
  ops->Ops::linears(x, weights, expected);
  EXPECT_EQ(a.prepared + b.prepared + c.prepared, 5);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(out[i].rows, 3);
    EXPECT_EQ(out[i].dim, weights[i]->out);
    EXPECT_EQ(copy_of(out[i]), copy_of(expected[i]));
  }
}

TEST(CpuOps, FusedOpsEqualTheirDefaultBodies) {
  auto ops = make_cpu_ops({2});
  for (int64_t rows : {1, 7, 40}) {
    const OpsScope scope(*ops);
    const Tensor x = filled(*ops, rows, 64, 1);
    const FakeLinear gate = fake(200, 64, 2), up = fake(200, 64, 3, 1), down = fake(64, 200, 4);
    EXPECT_EQ(copy_of(ops->gated_mlp(x, gate, up, down)), copy_of(ops->Ops::gated_mlp(x, gate, up, down)));
    const CpuVector weight(random_floats(64, 5));
    const Tensor x1 = filled(*ops, rows, 64, 6), x2 = filled(*ops, rows, 64, 6), y = filled(*ops, rows, 64, 7);
    for (const Tensor* added : {static_cast<const Tensor*>(nullptr), &y}) {
      EXPECT_EQ(copy_of(ops->norm_gated_mlp(x1, added, {weight, 1e-5f}, gate, up, down)),
                copy_of(ops->Ops::norm_gated_mlp(x2, added, {weight, 1e-5f}, gate, up, down)));
      const Linear* weights[] = {&gate, &up};
      Tensor fused[2], plain[2];
      ops->norm_linears(x1, added, {weight, 1e-5f}, weights, fused);
      ops->Ops::norm_linears(x2, added, {weight, 1e-5f}, weights, plain);
      for (int i = 0; i < 2; ++i) EXPECT_EQ(copy_of(fused[i]), copy_of(plain[i]));
      EXPECT_EQ(copy_of(x1), copy_of(x2));
    }
  }
}

// Prefill and decode over an int8 cache beside one of f16, with and without threads.
TEST(CpuOps, Int8CacheIsNearF16) {
  for (int64_t window : {0, 100}) {
    auto ops = make_cpu_ops({3});
    auto alone = make_cpu_ops({1});
    Sequences f16(small_config(), 2), int8(small_config(), 2, 1000, KvBits::k8),
        again(small_config(), 2, 1000, KvBits::k8);
    AttentionSpec spec;
    spec.layer = 1;
    spec.window = window;
    for (const std::vector<int64_t>& rows :
         {std::vector<int64_t>{300, 1}, {1, 1}, {4, 290}, {1, 1}, {230, 1}, {1, 3}}) {
      const auto expected = f16.step(*ops, rows, spec);
      const auto found = int8.step(*ops, rows, spec);
      EXPECT_EQ(found, again.step(*alone, rows, spec));
      // Normal values reach 4.5: half a step of theirs is 0.018, one of a key's channels as much, which 32 channels
      // times queries of deviation 1 and the scale of 1 / sqrt(32) turn into scores off by 0.01 with a tail of five
      // times that.
      expect_near(found, expected, 0.1f);
      double square = 0.0;
      for (size_t i = 0; i < found.size(); ++i) square += std::pow(static_cast<double>(found[i] - expected[i]), 2);
      EXPECT_LT(std::sqrt(square / static_cast<double>(found.size())), 0.015);
    }
  }
}

TEST(CpuOps, GatherRows) {
  auto ops = make_cpu_ops({1});
  const Tensor x = filled(*ops, 5, 3, 1);
  const int64_t rows[] = {4, 0, 4};
  const auto out = copy_of(ops->gather_rows(x, rows));
  for (size_t i = 0; i < 3; ++i)
    for (size_t d = 0; d < 3; ++d) EXPECT_EQ(out[i * 3 + d], x.f32()[static_cast<size_t>(rows[i]) * 3 + d]);
  const int64_t wrong[] = {5};
  EXPECT_THROW(ops->gather_rows(x, wrong), Error);
}

// Two ropes in one step; the tables of a step are not kept for the next.
TEST(CpuOps, RopeTablesFollowRopeAndPositions) {
  auto ops = make_cpu_ops({2});
  auto config = small_config();
  auto cache = make_cpu_cache(config, 100);
  RopeConfig other_config;
  other_config.theta = 500.0;
  const Rope rope = small_rope(32), other(other_config, 32, 4096);
  for (int64_t start : {0, 5, 5}) {
    const OpsScope scope(*ops);
    const Segment segment{cache.get(), start, 9};
    const std::vector<int32_t> ids(9);
    const Batch batch{ids, {&segment, 1}};
    for (const Rope* r : {&rope, &other, &rope}) {
      const Tensor x = filled(*ops, 9, 64, 1);
      const std::vector<float> before = copy_of(x);
      ops->rope(x, 32, *r, batch);
      float cos[16], sin[16];
      for (int64_t row = 0; row < 9; ++row) {
        r->fill(start + row, start + 9, cos, sin);
        for (int64_t c = 0; c < 64; ++c) {
          const int64_t i = c % 32, pair = i < 16 ? c + 16 : c - 16;
          const float a = before[static_cast<size_t>(row * 64 + c)], b = before[static_cast<size_t>(row * 64 + pair)];
          const float expected = a * cos[i % 16] + (i < 16 ? -b : b) * sin[i % 16];
          ASSERT_NEAR(x.f32()[row * 64 + c], expected, 1e-5);
        }
      }
    }
  }
}

TEST(CpuOps, ProfileCountsOperations) {
  CpuOptions options;
  options.threads = 1;
  options.profile = true;
  auto ops = make_cpu_ops(options);
  const FakeLinear weight = fake(8, 64, 1);
  FakeLinear named = fake(16, 64, 1);
  named.name = "model.layers.0.self_attn.o_proj";
  for (int i = 0; i < 3; ++i) {
    const OpsScope scope(*ops);
    ops->linear(filled(*ops, 2, 64, 2), weight);
    ops->linear(filled(*ops, 2, 64, 2), named);
  }
  const auto find = [&](const std::string& name) {
    for (const OpProfile& op : profile_of(*ops))
      if (op.name == name) return op;
    return OpProfile{};
  };
  for (const auto& [name, out] : {std::pair("multiply", 8), std::pair("multiply o", 16)}) {
    const OpProfile op = find(name);
    EXPECT_EQ(op.calls, 3) << name;
    EXPECT_EQ(op.work.bytes, 3 * out * 64 * 4) << name;
    EXPECT_EQ(op.work.f32_macs, 3 * 2 * out * 64) << name;
    EXPECT_EQ(op.work.int8_macs, 0) << name;
    EXPECT_GT(op.seconds, 0.0) << name;
  }
  EXPECT_EQ(find("prepare o").calls, 3);
  reset_profile(*ops);
  EXPECT_TRUE(profile_of(*ops).empty());
  EXPECT_GT(arena_bytes(*ops), 0);
  EXPECT_TRUE(profile_of(*make_cpu_ops({1})).empty());
}

TEST(CpuOps, ProfileCountsTheKeysThatAttentionSees) {
  CpuOptions options;
  options.threads = 1;
  options.profile = true;
  auto ops = make_cpu_ops(options);
  ModelConfig config;
  config.layers = 1;
  config.kv_heads = 1;
  config.head_dim = 16;
  const auto cache = make_cpu_cache(config, 8);
  const AttentionSpec spec = {.heads = 2, .kv_heads = 1, .head_dim = 16, .scale = 1.0f, .window = 3};
  const Segment segment = {cache.get(), 0, 5};
  const std::vector<int32_t> ids(5, 0);
  const OpsScope scope(*ops);
  const Tensor k = filled(*ops, 5, 16, 2);
  ops->attention(filled(*ops, 5, 32, 1), k, k, spec, {ids, {&segment, 1}});
  const auto profile = profile_of(*ops);
  ASSERT_EQ(profile.size(), 1u);
  EXPECT_EQ(profile[0].name, "attention");
  EXPECT_EQ(profile[0].work.f32_macs, (1 + 2 + 3 + 3 + 3) * 2 * 16 * 2);
}

TEST(LinearRole, IsTheLastPartOfTheName) {
  EXPECT_EQ(linear_role("model.layers.3.self_attn.q_proj"), "q");
  EXPECT_EQ(linear_role("model.layers.0.mlp.gate_proj"), "gate");
  EXPECT_EQ(linear_role("lm_head"), "head");
  EXPECT_EQ(linear_role("model.embed_tokens"), "head");
  EXPECT_EQ(linear_role("odd"), "odd");
  EXPECT_EQ(linear_role(""), "");
}

TEST(CpuCache, ReservesLazilyAndRefusesTheImpossible) {
  ModelConfig config = small_config();
  // 2 TB could never be there; a few GB are reserved without being touched.
  const auto cache = make_cpu_cache(config, 4000000);
  EXPECT_EQ(cache->capacity, 4000000);
  EXPECT_EQ(cache->length, 0);
  for (int64_t positions : {int64_t{0}, int64_t{-1}, int64_t{1} << 36, int64_t{1} << 40, INT64_MAX}) {
    try {
      make_cpu_cache(config, positions);
      ADD_FAILURE() << positions;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kLimit);
    }
  }
}

TEST(CpuCache, EightBitsTakeHalfTheMemoryAndRefuseLargeHeads) {
  ModelConfig config = small_config();
  config.head_dim = 64;
  EXPECT_EQ(kv_bytes_per_position(config, KvBits::k16), 2 * 2 * 2 * 64 * 2);
  EXPECT_EQ(kv_bytes_per_position(config, KvBits::k8), 2 * 2 * (2 * 64 + 3 * 2));  // two scales a key, one a value
  config.head_dim = 512;
  EXPECT_NE(make_cpu_cache(config, 10), nullptr);
  EXPECT_THROW(make_cpu_cache(config, 10, KvBits::k8), Error);
}

TEST(CpuCache, StepsBeyondTheCapacityAreRefused) {
  Sequences sequences(small_config(), 1, 20);
  auto ops = make_cpu_ops({1});
  AttentionSpec spec;
  spec.layer = 1;
  sequences.step(*ops, {20}, spec);
  EXPECT_THROW(sequences.step(*ops, {1}, spec), Error);
}

}  // namespace
}  // namespace paro
