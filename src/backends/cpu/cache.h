// The CPU's KV cache: one reservation for all layers, f16, each layer and KV head on its own pages, so that memory is
// touched only as positions fill.
#pragma once

#include <cstddef>

#include "kernels/attention/attention.h"
#include "model/ops.h"

namespace paro {

class CpuCache : public KvCache {
 public:
  CpuCache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t positions);
  ~CpuCache() override;
  CpuCache(const CpuCache&) = delete;
  CpuCache& operator=(const CpuCache&) = delete;

  KvHead head(int64_t layer, int64_t kv_head) const;
  int64_t layers() const { return layers_; }
  int64_t kv_heads() const { return kv_heads_; }
  int64_t head_dim() const { return head_dim_; }
  /// Address space reserved.
  size_t bytes() const { return bytes_; }

 private:
  int64_t layers_;
  int64_t kv_heads_;
  int64_t head_dim_;
  size_t key_bytes_ = 0;   // of one layer and head, whole pages
  size_t head_bytes_ = 0;  // keys and values
  size_t bytes_ = 0;
  std::byte* data_ = nullptr;
};

}  // namespace paro
