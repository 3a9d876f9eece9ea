// Attention of a whole batch on the CPU: cuts segments, KV heads, rows and positions into tasks for the thread pool.
// How the work is cut never depends on the number of threads.
#pragma once

#include "base/arena.h"
#include "base/threads.h"
#include "model/ops.h"

namespace paro {

/// q, out [rows, heads * head_dim] f32. The caches hold all positions up to each segment's last row.
void attend_batch(ThreadPool& pool, Arena& arena, const AttentionSpec& spec, const Batch& batch, const float* q,
                  float* out);

/// Bytes of the caches that attend_batch reads at least.
int64_t attention_bytes(const AttentionSpec& spec, const Batch& batch);

}  // namespace paro
