// The CPU's KV cache: one reservation, chunk of positions by chunk, each holding all layers and KV heads. What a layer
// reads of a chunk lies together (decoding streams through it), and memory is touched only as chunks fill.
#pragma once

#include <cstddef>

#include "kernels/attention/attention.h"
#include "kernels/vec/aligned_buffer.h"
#include "model/ops.h"

namespace paro {

class CpuCache : public KvCache {
 public:
  CpuCache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t positions, KvBits bits);

  KvHead head(int64_t layer, int64_t kv_head) const;
  /// What reads and writes its heads, for the instruction set in use.
  const AttentionKernels& kernels() const { return kernels_; }
  int64_t layers() const { return layers_; }
  int64_t kv_heads() const { return kv_heads_; }
  int64_t head_dim() const { return head_dim_; }
  /// Read for each position by one layer.
  int64_t position_bytes() const { return kv_heads_ * kv_chunk_bytes(kernels_.bits, head_dim_) / kAttentionChunk; }

 private:
  int64_t layers_;
  int64_t kv_heads_;
  int64_t head_dim_;
  const AttentionKernels& kernels_;
  size_t head_bytes_ = 0;   // of one chunk, layer and head
  size_t chunk_bytes_ = 0;  // of all layers and heads
  AlignedBuffer memory_;
};

}  // namespace paro
