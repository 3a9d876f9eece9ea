// How a chunk of the cache is laid out, and how attend_rows cuts its scratch memory: shared by the variants. A chunk is
// read from front to back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention/attention.h"

namespace paro {

/// Positions whose keys lie together, transposed: f16 [kAttentionChunk / 16][head_dim][16].
inline constexpr int64_t kKeyBlock = 16;

/// What decoding prefetches: the bytes kBytes further on, and beyond the end of a head's chunk those of the next one.
/// One thread on Zen 4 (27 GB/s of plain reading), 64 channels, 3 queries, f16 / int8 in GB/s: at 4 KB 20 / 9, 8 KB 27
/// / 13, 16 KB 27 / 14, 32 KB 26 / 15, 128 KB 27 / 16.
class ReadAhead {
 public:
  static constexpr int64_t kBytes = 32768;

  ReadAhead(const AttentionChunk& a, int64_t chunk_bytes)
      : end_(a.cache.data + a.begin / kAttentionChunk * a.cache.chunk_stride + chunk_bytes),
        jump_(a.next == nullptr ? 0 : a.next - end_) {}
  /// From `at`, in the chunk, to what is to be prefetched meanwhile.
  int64_t distance(const void* at) const {
    return static_cast<const std::byte*>(at) + kBytes < end_ ? kBytes : kBytes + jump_;
  }

 private:
  const std::byte* end_;
  int64_t jump_;
};

/// Into the second-level cache: with the first level's few line buffers in the way, 10 GB/s of int8 became 7 (Zen 4).
inline void prefetch(const void* at) { __builtin_prefetch(at, 0, 2); }

struct F16Chunk {
  uint16_t* keys;    // [kAttentionChunk / 16][head_dim][16]
  uint16_t* values;  // [kAttentionChunk][padded_head_dim]

  static int64_t bytes(int64_t head_dim) { return kAttentionChunk * (head_dim + padded_head_dim(head_dim)) * 2; }
  F16Chunk(const KvHead& cache, int64_t chunk)
      : keys(reinterpret_cast<uint16_t*>(cache.data + chunk * cache.chunk_stride)),
        values(keys + kAttentionChunk * cache.head_dim) {}
};

/// int8 numbers plus 128 in tiles of 16 x 4 bytes: 16 sums, four factors of each side by side. Keys: the sums are
/// positions, the factors channels; values: the sums are channels, the factors positions. So one product of tiles with
/// a vector serves scores and output.
inline constexpr int64_t kTile = 64;
inline constexpr int64_t kTileDepth = 4;
inline constexpr int kByteZero = 128;

struct Int8Chunk {
  int64_t key_steps;       // tiles of a key block: head_dim / 4, rounded up
  int64_t key_groups;      // scales of a key
  uint8_t* keys;           // [kAttentionChunk / 16][key_steps] tiles
  uint16_t* key_scales;    // f16 [key_groups][kAttentionChunk]
  uint8_t* values;         // [padded_head_dim / 16][kAttentionChunk / 4] tiles
  uint16_t* value_scales;  // f16 [kAttentionChunk]

  static int64_t steps(int64_t head_dim) { return (head_dim + kTileDepth - 1) / kTileDepth; }
  static int64_t groups(int64_t head_dim) { return (head_dim + kKeyGroup - 1) / kKeyGroup; }
  static int64_t bytes(int64_t head_dim) {
    return kAttentionChunk * (steps(head_dim) * kTileDepth + groups(head_dim) * 2 + padded_head_dim(head_dim) + 2);
  }
  Int8Chunk(const KvHead& cache, int64_t chunk)
      : key_steps(steps(cache.head_dim)),
        key_groups(groups(cache.head_dim)),
        keys(reinterpret_cast<uint8_t*>(cache.data + chunk * cache.chunk_stride)),
        key_scales(reinterpret_cast<uint16_t*>(keys + kAttentionChunk * key_steps * kTileDepth)),
        values(reinterpret_cast<uint8_t*>(key_scales + kAttentionChunk * key_groups)),
        value_scales(reinterpret_cast<uint16_t*>(values + kAttentionChunk * padded_head_dim(cache.head_dim))) {}

  /// Channel d of the key at `position` of the chunk; four channels lie side by side.
  uint8_t* key(int64_t position, int64_t d) const {
    return keys + (position / kKeyBlock * key_steps + d / kTileDepth) * kTile + position % kKeyBlock * kTileDepth +
           d % kTileDepth;
  }
  uint8_t* value(int64_t position, int64_t d) const {
    return values + (d / 16 * (kAttentionChunk / kTileDepth) + position / kTileDepth) * kTile + d % 16 * kTileDepth +
           position % kTileDepth;
  }
};

/// Positions widened to f32 at a time: keys and values of a block at head_dim 64 are 32 KB.
inline constexpr int64_t kRowsBlock = 64;
static_assert(kAttentionChunk % kRowsBlock == 0);
/// Rows that run through the registers together, at most.
inline constexpr int64_t kMaxRowGroup = 16;

struct RowsScratch {
  float* keys;    // [kRowsBlock / 16][head_dim][16]
  float* values;  // [padded_head_dim / 16][kRowsBlock][16]
  float* scores;  // [kMaxRowGroup][kRowsBlock]
  float* out;     // [rows][padded_head_dim]
  float* max;     // [rows]
  float* sum;     // [rows]

  static int64_t floats(int64_t rows, int64_t head_dim) {
    const int64_t padded = padded_head_dim(head_dim);
    return kRowsBlock * (head_dim + padded + kMaxRowGroup) + rows * (padded + 2);
  }
  RowsScratch(float* memory, int64_t rows, int64_t head_dim) {
    const int64_t padded = padded_head_dim(head_dim);
    keys = memory;
    values = keys + kRowsBlock * head_dim;
    scores = values + kRowsBlock * padded;
    out = scores + kMaxRowGroup * kRowsBlock;
    max = out + rows * padded;
    sum = max + rows;
  }
};

}  // namespace paro
