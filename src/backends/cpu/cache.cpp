#include "backends/cpu/cache.h"

#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"

namespace paro {
namespace {

constexpr size_t kPage = 4096;

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

size_t whole_pages(size_t bytes) { return bytes > SIZE_MAX - kPage ? SIZE_MAX : (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

CpuCache::CpuCache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t positions)
    : layers_(layers), kv_heads_(kv_heads), head_dim_(head_dim) {
  PARO_CHECK(layers > 0 && kv_heads > 0 && head_dim > 0);
  constexpr int64_t kMost = int64_t{1} << 40;
  if (positions < 1 || positions > kMost)
    fail_limit("KV cache: expected 1 to {} positions, found {}", kMost, positions);
  capacity = positions;
  const auto padded = static_cast<size_t>((positions + kKeyBlock - 1) / kKeyBlock * kKeyBlock);
  key_bytes_ = whole_pages(times(times(padded, static_cast<size_t>(head_dim)), 2));
  const size_t value_bytes = whole_pages(times(times(padded, static_cast<size_t>(padded_head_dim(head_dim))), 2));
  head_bytes_ = key_bytes_ > SIZE_MAX - value_bytes ? SIZE_MAX : key_bytes_ + value_bytes;
  bytes_ = times(times(head_bytes_, static_cast<size_t>(kv_heads)), static_cast<size_t>(layers));
  void* data = bytes_ > machine_memory()
                   ? MAP_FAILED
                   : ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED)
    fail_limit("KV cache: cannot reserve {:.1f} GB for {} positions; a shorter context needs less",
               static_cast<double>(bytes_) * 1e-9, positions);
  data_ = static_cast<std::byte*>(data);
}

CpuCache::~CpuCache() { ::munmap(data_, bytes_); }

KvHead CpuCache::head(int64_t layer, int64_t kv_head) const {
  std::byte* keys = data_ + static_cast<size_t>(layer * kv_heads_ + kv_head) * head_bytes_;
  return {reinterpret_cast<uint16_t*>(keys), reinterpret_cast<uint16_t*>(keys + key_bytes_), head_dim_};
}

std::unique_ptr<KvCache> make_cpu_cache(const ModelConfig& config, int64_t capacity) {
  return std::make_unique<CpuCache>(config.layers, config.kv_heads, config.head_dim, capacity);
}

}  // namespace paro
