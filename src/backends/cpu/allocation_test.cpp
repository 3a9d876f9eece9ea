// The token loop allocates nothing: counted by replacing operator new in this test program. Not under sanitizers, which
// bring their own.
#if defined(__has_feature)
#define PARO_HAS_FEATURE(name) __has_feature(name)
#else
#define PARO_HAS_FEATURE(name) 0
#endif
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !PARO_HAS_FEATURE(address_sanitizer) && \
    !PARO_HAS_FEATURE(thread_sanitizer)
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "backends/cpu/cpu_ops.h"
#include "backends/cpu/fake_linear_test.h"
#include "backends/cpu/weights.h"

namespace {
std::atomic<int64_t> g_allocations{0};
}

void* operator new(std::size_t size) {
  ++g_allocations;
  if (void* data = std::malloc(size)) return data;
  throw std::bad_alloc();
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }

namespace paro {
namespace {

TEST(CpuOps, TokenLoopAllocatesNothing) {
  ModelConfig config;
  config.layers = 1;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 16;
  const auto cache = make_cpu_cache(config, 2000);
  const Rope rope(RopeConfig{}, 16, 4096);
  const auto ops = make_cpu_ops({2});
  const auto square = [](int64_t out, int64_t in) {
    return FakeLinear(out, in, std::vector<float>(static_cast<size_t>(out * in), 0.01f));
  };
  const FakeLinear q = square(64, 64), k = square(32, 64), v = square(32, 64), o = square(64, 64);
  const FakeLinear gate = square(96, 64), up = square(96, 64), down = square(64, 96);
  const CpuVector norm(std::vector<float>(64, 1.0f));
  AttentionSpec spec{0, 4, 2, 16, 0.25f, 0, &rope};
  int64_t before = 0;
  for (int step = 0; step < 40; ++step) {
    const OpsScope scope(*ops);
    const int64_t rows = step == 0 ? 600 : 1;
    const std::vector<int32_t> ids(static_cast<size_t>(rows));
    if (step == 10) before = g_allocations - 1;  // this step's ids
    const Segment segment{cache.get(), cache->length, rows};
    const Batch batch{ids, {&segment, 1}};
    const Tensor x = ops->make(rows, 64);
    std::fill_n(x.f32(), rows * 64, 1.0f);
    const Tensor h = ops->rms_norm(x, norm, 1e-5f);
    const Linear* weights[] = {&q, &k, &v};
    Tensor out[3];
    ops->linears(h, weights, out);
    const Tensor y = ops->linear(ops->attend(out[0], out[1], out[2], spec, batch), o);
    ops->add(x, ops->norm_gated_mlp(x, &y, {norm, 1e-5f}, gate, up, down));
    cache->length += rows;
  }
  EXPECT_EQ(g_allocations - before, 30);  // the ids of 30 steps
}

}  // namespace
}  // namespace paro

#endif
