#include "backends/cpu/cache.h"

#include <sys/sysinfo.h>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "kernels/variants.h"

namespace paro {
namespace {

/// a * b, or SIZE_MAX when that does not fit (which no system can reserve).
size_t times(size_t a, size_t b) {
  size_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? SIZE_MAX : result;
}

/// What the machine could ever give: a system that overcommits without bound would promise more and then kill.
size_t machine_memory() {
  struct sysinfo info {};
  if (::sysinfo(&info) != 0) return SIZE_MAX;
  return times(info.totalram + info.totalswap, info.mem_unit);
}

}  // namespace

CpuCache::CpuCache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t positions, KvBits bits)
    : layers_(layers),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      kernels_(variant_for(attention_variants(bits), active_isa())) {
  PARO_CHECK(layers > 0 && kv_heads > 0 && head_dim > 0);
  if (bits == KvBits::k8 && head_dim > kMostInt8HeadDim)
    fail_input("KV cache of 8 bits: expected heads of at most {} channels, found {}; 16 bits hold them",
               kMostInt8HeadDim, head_dim);
  constexpr int64_t kMost = int64_t{1} << 40;
  if (positions < 1 || positions > kMost)
    fail_limit("KV cache: expected 1 to {} positions, found {}", kMost, positions);
  capacity = positions;
  const auto chunks = static_cast<size_t>((positions + kAttentionChunk - 1) / kAttentionChunk);
  head_bytes_ = static_cast<size_t>(kv_chunk_bytes(bits, head_dim));
  chunk_bytes_ = times(times(head_bytes_, static_cast<size_t>(kv_heads)), static_cast<size_t>(layers));
  const size_t bytes = times(chunk_bytes_, chunks);
  if (bytes > machine_memory())
    fail_limit("KV cache: cannot reserve {:.1f} GB for {} positions; a shorter context needs less",
               static_cast<double>(bytes) * 1e-9, positions);
  memory_ = AlignedBuffer(static_cast<int64_t>(bytes), "the KV cache; a shorter context needs less");
}

KvHead CpuCache::head(int64_t layer, int64_t kv_head) const {
  return {reinterpret_cast<std::byte*>(const_cast<uint8_t*>(memory_.data())) +
              static_cast<size_t>(layer * kv_heads_ + kv_head) * head_bytes_,
          static_cast<int64_t>(chunk_bytes_), head_dim_};
}

std::unique_ptr<KvCache> make_cpu_cache(const ModelConfig& config, int64_t capacity, KvBits bits) {
  return std::make_unique<CpuCache>(config.layers, config.kv_heads, config.head_dim, capacity, bits);
}

int64_t kv_bytes_per_position(const ModelConfig& config, KvBits bits) {
  return config.layers * config.kv_heads * kv_chunk_bytes(bits, config.head_dim) / kAttentionChunk;
}

}  // namespace paro
