#include "kernels/attention/variants.h"

#include <array>

#include "kernels/attention/layout.h"

namespace paro {

std::span<const AttentionKernels> attention_variants(KvBits bits) {
  static const std::array f16 {
    attention_reference,
#if defined(__x86_64__)
        attention_avx2, attention_avx512,
#elif defined(__aarch64__)
        attention_neon,
#endif
  };
  static const std::array int8 {
    attention_int8_reference,
#if defined(__x86_64__)
        attention_int8_avx2, attention_int8_avx512, attention_int8_avx512vnni,
#elif defined(__aarch64__)
        attention_int8_neon, attention_int8_neoni8mm,
#endif
  };
  if (bits == KvBits::k8) return int8;
  return f16;
}

int64_t kv_chunk_bytes(KvBits bits, int64_t head_dim) {
  const int64_t bytes = bits == KvBits::k8 ? Int8Chunk::bytes(head_dim) : F16Chunk::bytes(head_dim);
  static_assert(kAttentionChunk * 2 % 64 == 0);
  return bytes;
}

}  // namespace paro
