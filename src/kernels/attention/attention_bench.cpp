// Attention kernels beside the limits measured in the same run: multiply-adds of f32 in registers (prefill), reading
// the cache from memory (decode).
#include <benchmark/benchmark.h>

#include <string>

#include "kernels/attention/attention.h"
#include "kernels/test_variants.h"
#include "kernels/vec/aligned_buffer.h"

namespace paro {
namespace {

/// Heads one after another, the chunks of each side by side.
struct Caches {
  Caches(const AttentionKernels& kernels, int64_t count, int64_t positions, int64_t dim)
      : head_dim(dim),
        stride(kv_chunk_bytes(kernels.bits, dim)),
        bytes((positions + kAttentionChunk - 1) / kAttentionChunk * stride),
        data(count * bytes) {
    const std::vector<float> x = random_floats(dim, 3);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t p = 0; p < positions; ++p) kernels.store_position(head(i), p, x.data(), x.data());
  }
  KvHead head(int64_t i) const {
    return {reinterpret_cast<std::byte*>(const_cast<uint8_t*>(data.data())) + i * bytes, stride, head_dim};
  }
  int64_t head_dim;
  int64_t stride;
  int64_t bytes;  // of a head
  AlignedBuffer data;
};

/// A window of `tokens` in tasks of 96 rows, `heads` queries to a KV head: what the op set runs.
void prefill(benchmark::State& state, const AttentionKernels& kernels, int64_t tokens, int64_t head_dim,
             int64_t heads) {
  const Caches caches(kernels, 1, tokens, head_dim);
  const int64_t step = 96 / heads;
  const int64_t queries = step * heads;
  const std::vector<float> q = random_floats(queries * head_dim, 1, 0.1f);
  std::vector<float> out(q.size());
  std::vector<float*> pointers;
  for (int64_t i = 0; i < queries; ++i) pointers.push_back(out.data() + i * head_dim);
  std::vector<float> scratch(static_cast<size_t>(attention_scratch(queries, head_dim)));
  std::vector<int64_t> first(static_cast<size_t>(queries)), last(static_cast<size_t>(queries));
  int64_t seen = 0;
  for (auto _ : state) {
    seen = 0;
    for (int64_t token = 0; token + step <= tokens; token += step) {
      for (int64_t i = 0; i < queries; ++i) {
        last[static_cast<size_t>(i)] = token + i / heads;
        seen += token + i / heads + 1;
      }
      kernels.attend_rows(
          {caches.head(0), q.data(), queries, first.data(), last.data(), scratch.data(), pointers.data()});
    }
  }
  // Useful operations only: two products over the positions that a row sees.
  state.counters["flop/s"] =
      benchmark::Counter(static_cast<double>(seen * head_dim * 4), benchmark::Counter::kIsIterationInvariantRate);
}

/// One token after `positions` others, over enough caches to leave the processor's own.
void decode(benchmark::State& state, const AttentionKernels& kernels, int64_t positions, int64_t head_dim,
            int64_t heads) {
  const int64_t bytes = positions / kAttentionChunk * kv_chunk_bytes(kernels.bits, head_dim);
  const int64_t count = std::max<int64_t>(1, (int64_t{96} << 20) / bytes);
  const Caches caches(kernels, count, positions, head_dim);
  const std::vector<float> q = random_floats(heads * head_dim, 1, 0.1f);
  const std::vector<int64_t> first(static_cast<size_t>(heads)), last(static_cast<size_t>(heads), positions - 1);
  std::vector<float> scores(static_cast<size_t>(heads * kAttentionChunk)), max(static_cast<size_t>(heads)), sum(max);
  std::vector<float> out(static_cast<size_t>(heads * padded_head_dim(head_dim)));
  for (auto _ : state) {
    for (int64_t i = 0; i < count; ++i)
      for (int64_t begin = 0; begin < positions; begin += kAttentionChunk)
        kernels.attend_chunk({caches.head(i), q.data(), heads, first.data(), last.data(), begin,
                              std::min(begin + kAttentionChunk, positions), scores.data(), max.data(), sum.data(),
                              out.data()});
  }
  state.SetBytesProcessed(state.iterations() * count * bytes);
}

/// The limit of decode: the same bytes summed by the compiler's own loop.
void read_limit(benchmark::State& state) {
  const std::vector<uint64_t> data((size_t{96} << 20) / 8, 1);
  for (auto _ : state) {
    uint64_t sums[8] = {};
    for (size_t i = 0; i < data.size(); i += 8)
      for (size_t j = 0; j < 8; ++j) sums[j] += data[i + j];
    benchmark::DoNotOptimize(sums);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(data.size()) * 8);
}
BENCHMARK(read_limit);

const bool kRegistered = [] {
  const auto add = [](const AttentionKernels& kernels) {
    const std::string isa = std::string(isa_name(kernels.isa)) + (kernels.bits == KvBits::k8 ? "/int8" : "/f16");
    for (const auto& [head_dim, heads] : {std::pair<int64_t, int64_t>{64, 1}, {64, 3}, {128, 4}}) {
      const std::string shape = "/" + std::to_string(head_dim) + "x" + std::to_string(heads) + "/" + isa;
      for (int64_t tokens : {int64_t{512}, int64_t{2048}})
        benchmark::RegisterBenchmark(("prefill_" + std::to_string(tokens) + shape).c_str(), prefill, kernels, tokens,
                                     head_dim, heads);
      benchmark::RegisterBenchmark(("decode_4096" + shape).c_str(), decode, kernels, int64_t{4096}, head_dim, heads);
    }
  };
  for (const KvBits bits : {KvBits::k16, KvBits::k8}) for_each_variant(attention_variants(bits), add);
  return true;
}();

}  // namespace
}  // namespace paro
