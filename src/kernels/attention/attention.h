// Softmax attention of one KV head over cached keys and values. Two kernels: a few queries over a chunk of positions
// (decode: reads the cache once, straight from memory) and many query rows over all their positions (prefill: blocks
// widened to f32 once, register-blocked products, running softmax). Queries, scores and probabilities are f32.
// Knows no batch, no thread: backends/cpu/attention.cpp cuts the work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/cpu.h"

namespace paro {

/// What keys and values are kept in.
enum class KvBits {
  k16 = 16,  // f16
  k8 = 8,    // int8: one f16 scale for kKeyGroup channels of a key, one for a value
};

/// Positions that lie together in memory, and the longest chunk of attend_chunk.
inline constexpr int64_t kAttentionChunk = 256;
/// Channels of an int8 key that share a scale: channels differ in size by far more in keys than in values.
inline constexpr int64_t kKeyGroup = 32;
/// Largest head_dim of an int8 cache.
inline constexpr int64_t kMostInt8HeadDim = 256;

/// Row length of outputs: head_dim rounded up; the rest of a row is without meaning.
inline int64_t padded_head_dim(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }

/// One layer's cache of one KV head: chunks of kAttentionChunk positions, each kv_chunk_bytes(bits, head_dim) long, in
/// a layout of the kernels' own (layout.h).
struct KvHead {
  std::byte* data = nullptr;  // of position 0
  int64_t chunk_stride = 0;   // bytes from one chunk to the next
  int64_t head_dim = 0;
};

/// A multiple of 64.
int64_t kv_chunk_bytes(KvBits bits, int64_t head_dim);

/// A few queries, each over the positions [first[i], last[i]] within [begin, end).
struct AttentionChunk {
  KvHead cache;
  const float* q = nullptr;  // [queries, head_dim], already scaled
  int64_t queries = 0;
  const int64_t* first = nullptr;  // [queries]
  const int64_t* last = nullptr;   // [queries]
  int64_t begin = 0;               // multiple of kAttentionChunk
  int64_t end = 0;                 // at most begin + kAttentionChunk
  float* scores = nullptr;         // scratch [queries, kAttentionChunk]
  // Results: with m = largest score, out = sum_j exp(s_j - m) v_j and sum = sum_j exp(s_j - m). A query that sees
  // nothing of the chunk gets m = -inf, sum = 0, out = 0.
  float* max = nullptr;  // [queries]
  float* sum = nullptr;  // [queries]
  float* out = nullptr;  // [queries, padded_head_dim]
  /// What the thread will read after this head's chunk, where it does not follow in memory: prefetched towards the end.
  const std::byte* next = nullptr;
};

/// Query rows over the positions [first[i], last[i]] of each; first and last do not fall from row to row.
struct AttentionRows {
  KvHead cache;
  const float* q = nullptr;  // [rows, head_dim], already scaled
  int64_t rows = 0;
  const int64_t* first = nullptr;  // [rows]
  const int64_t* last = nullptr;   // [rows], at least first
  float* scratch = nullptr;        // [attention_scratch(rows, head_dim)]
  float* const* out = nullptr;     // [rows] -> [head_dim]
};

/// Floats of scratch memory that attend_rows needs.
int64_t attention_scratch(int64_t rows, int64_t head_dim);

struct AttentionKernels {
  Isa isa;
  KvBits bits;
  /// Writes k and v [head_dim] of one position, rounded; beyond the range of f16 its largest finite value.
  void (*store_position)(const KvHead& cache, int64_t position, const float* k, const float* v);
  void (*attend_chunk)(const AttentionChunk& chunk);
  void (*attend_rows)(const AttentionRows& rows);
};

std::span<const AttentionKernels> attention_variants(KvBits bits);

/// Joins `chunks` results of the same queries (arrays as in AttentionChunk, chunk-major) in order:
/// out[i] = the softmax average, [head_dim]. `max` is overwritten.
void merge_chunks(float* max, const float* sum, const float* partial, int64_t chunks, int64_t queries, int64_t head_dim,
                  float* const* out);

}  // namespace paro
