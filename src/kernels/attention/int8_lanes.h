// The attention kernels over a cache in int8. Included after vec/*.h and tiles_madd.h or tiles_dot.h.
//
// Queries, and weights times the scales of the values, become whole numbers of 16 bits, so that both products are of
// integers and exact; what that rounding adds is a hundredth of what rounding the cache to 8 bits does.
#pragma once

#include "kernels/attention/attention_lanes.h"

namespace paro {
namespace {

/// Rounds x [n] to +-127 steps of the returned scale, an f16.
inline uint16_t round_to_int8(const float* x, int64_t n, int8_t* out) {
  const auto element = [&](int64_t i) {
    return within_f16(n - i >= Vec::kWidth ? Vec::load(x + i) : Vec::load_first(x + i, n - i));
  };
  Vec::F largest = Vec::zero();
  for (int64_t i = 0; i < n; i += Vec::kWidth) {
    const Vec::F v = element(i);
    largest = Vec::max(largest, Vec::max(v, Vec::sub(Vec::zero(), v)));
  }
  uint16_t halves[Vec::kWidth];
  Vec::store_f16(halves, Vec::set1(Vec::max_lanes(largest) / 127.0f));
  float scale[Vec::kWidth];
  Vec::store(scale, Vec::load_f16(halves));
  const Vec::F inverse = Vec::set1(scale[0] > 0.0f ? 1.0f / scale[0] : 0.0f);
  const Vec::F limit = Vec::set1(127.0f);
  for (int64_t i = 0; i < n; i += Vec::kWidth) {
    const Vec::F steps = Vec::mul(element(i), inverse);
    const Vec::F bounded = Vec::min(limit, Vec::max(Vec::sub(Vec::zero(), limit), steps));
    int8_t bytes[Vec::kWidth];
    Vec::store_bytes(bytes, Vec::round(bounded));
    std::memcpy(out + i, bytes, static_cast<size_t>(std::min<int64_t>(n - i, Vec::kWidth)));
  }
  return halves[0];
}

void store_int8_position(const KvHead& cache, int64_t position, const float* k, const float* v) {
  const Int8Chunk chunk(cache, position / kAttentionChunk);
  position %= kAttentionChunk;
  for (int64_t g = 0; g < chunk.key_groups; ++g) {
    alignas(64) int8_t bytes[kKeyGroup] = {};
    const int64_t d = g * kKeyGroup;
    const int64_t n = std::min(kKeyGroup, cache.head_dim - d);
    chunk.key_scales[g * kAttentionChunk + position] = round_to_int8(k + d, n, bytes);
    for (int64_t i = 0; i < n; i += kTileDepth) {
      uint32_t four;
      std::memcpy(&four, bytes + i, 4);
      four ^= 0x80808080;  // plus 128
      std::memcpy(chunk.key(position, d + i), &four, 4);
    }
  }
  alignas(64) int8_t value[kMostInt8HeadDim];
  chunk.value_scales[position] = round_to_int8(v, cache.head_dim, value);
  for (int64_t d = 0; d < cache.head_dim; ++d) *chunk.value(position, d) = static_cast<uint8_t>(value[d] + kByteZero);
}

/// Sixteen scales widened.
inline void load_scales(const uint16_t* from, Vec::F* to) {
  for (int i = 0; i < kVecs; ++i) to[i] = Vec::load_f16(from + i * Vec::kWidth);
}

/// x [n] as whole numbers at `codes`, of `padded` (a multiple of 16): returns what one of them stands for; total: their
/// sums over each `group` numbers. `largest`: of the absolute values.
inline float encode(const float* x, int64_t n, float largest, uint8_t* codes, int64_t padded, int64_t group,
                    int32_t* totals) {
  const Vec::F inverse = Vec::set1(largest > 0.0f ? Codes::kMost / largest : 0.0f);
  for (int64_t begin = 0; begin < padded; begin += group) {
    Vec::I total = Vec::izero();
    for (int64_t i = begin; i < std::min(begin + group, padded); i += Vec::kWidth) {
      const Vec::F v = n - i >= Vec::kWidth ? Vec::load(x + i) : n > i ? Vec::load_first(x + i, n - i) : Vec::zero();
      const Vec::I numbers = Vec::round(Vec::mul(v, inverse));
      Codes::store(codes, padded, i, numbers);
      total = Vec::iadd(total, numbers);
    }
    totals[begin / group] = Vec::isum_lanes(total);
  }
  return largest / Codes::kMost;
}

inline float largest_of(const float* x, int64_t n) {
  Vec::F largest = Vec::zero();
  for (int64_t i = 0; i < n; i += Vec::kWidth) {
    const Vec::F v = n - i >= Vec::kWidth ? Vec::load(x + i) : Vec::load_first(x + i, n - i);
    largest = Vec::max(largest, Vec::max(v, Vec::sub(Vec::zero(), v)));
  }
  return Vec::max_lanes(largest);
}

struct Int8Format {
  static constexpr int kMostQueries = 4;
  static constexpr int64_t kKeyGroups = kMostInt8HeadDim / kKeyGroup;

  template <int kQueries>
  static void score(const AttentionChunk& a, int64_t query, int64_t begin, int64_t end, float* scores) {
    const int64_t head_dim = a.cache.head_dim;
    const Int8Chunk chunk(a.cache, a.begin / kAttentionChunk);
    alignas(64) uint8_t bytes[kQueries][Codes::bytes(kMostInt8HeadDim)];
    int32_t totals[kQueries][kKeyGroups];
    Codes codes[kKeyGroups][kQueries];
    float unit[kQueries];
    for (int r = 0; r < kQueries; ++r) {
      const float* q = a.q + (query + r) * head_dim;
      const int64_t padded = chunk.key_groups * kKeyGroup;
      unit[r] = encode(q, head_dim, largest_of(q, head_dim), bytes[r], padded, kKeyGroup, totals[r]);
      for (int64_t g = 0; g < chunk.key_groups; ++g) codes[g][r] = Codes(bytes[r], padded, g * kKeyGroup);
    }
    const ReadAhead ahead(a, Int8Chunk::bytes(head_dim));
    int64_t p = begin;
    for (; p + kTileRows<kQueries> * kKeyBlock <= end; p += kTileRows<kQueries> * kKeyBlock)
      score_blocks<kQueries, kTileRows<kQueries>>(chunk, ahead, codes, totals, unit, p, scores);
    for (; p < end; p += kKeyBlock) score_blocks<kQueries, 1>(chunk, ahead, codes, totals, unit, p, scores);
  }

  /// kBlocks key blocks from position p of the chunk on.
  template <int kQueries, int kBlocks>
  static void score_blocks(const Int8Chunk& chunk, const ReadAhead& ahead, const Codes (*codes)[kQueries],
                           const int32_t (*totals)[kKeyGroups], const float* unit, int64_t p, float* scores) {
    constexpr int64_t kGroupSteps = kKeyGroup / kTileDepth;
    const uint8_t* tiles = chunk.keys + p / kKeyBlock * chunk.key_steps * kTile;
    const int64_t distance = ahead.distance(tiles);
    Vec::F score[kBlocks][kQueries][kVecs];
    for (auto& block : score)
      for (auto& query : block)
        for (Vec::F& s : query) s = Vec::zero();
    for (int64_t g = 0; g < chunk.key_groups; ++g) {
      Vec::I sums[kBlocks][kQueries][kVecs];
      dot_tiles<kQueries, kBlocks>(tiles + g * kGroupSteps * kTile, chunk.key_steps * kTile,
                                   std::min(kGroupSteps, chunk.key_steps - g * kGroupSteps), distance, codes[g], sums);
      for (int b = 0; b < kBlocks; ++b) {
        Vec::F scales[kVecs];
        load_scales(chunk.key_scales + g * kAttentionChunk + p + b * kKeyBlock, scales);
        for (int r = 0; r < kQueries; ++r) {
          const Vec::I zero = Vec::iset1(kTileZero * totals[r][g]);
          for (int i = 0; i < kVecs; ++i)
            score[b][r][i] = Vec::fma(Vec::to_float(Vec::isub(sums[b][r][i], zero)), scales[i], score[b][r][i]);
        }
      }
    }
    for (int b = 0; b < kBlocks; ++b)
      for (int r = 0; r < kQueries; ++r)
        for (int i = 0; i < kVecs; ++i)
          Vec::store(scores + r * kAttentionChunk + p + b * kKeyBlock + i * Vec::kWidth,
                     Vec::mul(score[b][r][i], Vec::set1(unit[r])));
  }

  template <int kQueries>
  static void weigh(const AttentionChunk& a, int64_t query, int64_t begin, int64_t end, float* scores) {
    const int64_t stride = padded_head_dim(a.cache.head_dim);
    const Int8Chunk chunk(a.cache, a.begin / kAttentionChunk);
    // Whole key blocks: `scores` is 0 around [begin, end).
    const int64_t first = begin / kKeyBlock * kKeyBlock;
    const int64_t count = (end + kKeyBlock - 1) / kKeyBlock * kKeyBlock - first;
    alignas(64) uint8_t bytes[kQueries][Codes::bytes(kAttentionChunk)];
    int32_t total[kQueries] = {};  // nothing is encoded where no query sees a position
    Codes codes[kQueries];
    float unit[kQueries];
    for (int r = 0; r < kQueries; ++r) {
      float* weights = scores + r * kAttentionChunk + first;
      Vec::F largest = Vec::zero();
      for (int64_t i = 0; i < count; i += Vec::kWidth) {
        const Vec::F weight = Vec::mul(Vec::load(weights + i), Vec::load_f16(chunk.value_scales + first + i));
        Vec::store(weights + i, weight);
        largest = Vec::max(largest, weight);
      }
      unit[r] = encode(weights, count, Vec::max_lanes(largest), bytes[r], count, kAttentionChunk, &total[r]);
      codes[r] = Codes(bytes[r], count, 0);
    }
    const ReadAhead ahead(a, Int8Chunk::bytes(a.cache.head_dim));
    const auto sum_values = [&]<int kBlocks>(int64_t d) {
      Vec::I sums[kBlocks][kQueries][kVecs];
      const uint8_t* tiles = chunk.values + (d / 16 * kAttentionChunk + first) / kTileDepth * kTile;
      dot_tiles<kQueries, kBlocks>(tiles, kAttentionChunk / kTileDepth * kTile, count / kTileDepth,
                                   ahead.distance(tiles), codes, sums);
      for (int b = 0; b < kBlocks; ++b) {
        for (int r = 0; r < kQueries; ++r) {
          const Vec::I zero = Vec::iset1(kTileZero * total[r]);
          for (int i = 0; i < kVecs; ++i)
            Vec::store(a.out + (query + r) * stride + d + b * 16 + i * Vec::kWidth,
                       Vec::mul(Vec::to_float(Vec::isub(sums[b][r][i], zero)), Vec::set1(unit[r])));
        }
      }
    };
    int64_t d = 0;
    for (; d + kTileRows<kQueries> * 16 <= stride; d += kTileRows<kQueries> * 16)
      sum_values.template operator()<kTileRows<kQueries>>(d);
    for (; d < stride; d += 16) sum_values.template operator()<1>(d);
  }

  /// The four factors of a tile's 16 sums, less their zero: numbers[factor][i].
  static void split_tile(const uint8_t* tile, Vec::F (*numbers)[kVecs]) {
    const Vec::I low = Vec::iset1(255);
    const Vec::I zero = Vec::iset1(kByteZero);
    for (int i = 0; i < kVecs; ++i) {
      const Vec::I four = Vec::iload(tile + i * 4 * Vec::kWidth);
      numbers[0][i] = Vec::to_float(Vec::isub(Vec::iand(four, low), zero));
      numbers[1][i] = Vec::to_float(Vec::isub(Vec::iand(Vec::shr<8>(four), low), zero));
      numbers[2][i] = Vec::to_float(Vec::isub(Vec::iand(Vec::shr<16>(four), low), zero));
      numbers[3][i] = Vec::to_float(Vec::isub(Vec::shr<24>(four), zero));
    }
  }

  static void widen(const KvHead& cache, int64_t start, int64_t end, const RowsScratch& scratch) {
    const int64_t head_dim = cache.head_dim;
    const Int8Chunk chunk(cache, start / kAttentionChunk);
    const int64_t offset = start % kAttentionChunk;
    Vec::F numbers[kTileDepth][kVecs];
    Vec::F scales[kVecs];
    for (int64_t p = 0; p < end - start; p += kKeyBlock) {
      const uint8_t* tiles = chunk.keys + (offset + p) / kKeyBlock * chunk.key_steps * kTile;
      for (int64_t d = 0; d < head_dim; d += kTileDepth) {
        load_scales(chunk.key_scales + d / kKeyGroup * kAttentionChunk + offset + p, scales);
        split_tile(tiles + d / kTileDepth * kTile, numbers);
        for (int64_t j = 0; j < std::min(kTileDepth, head_dim - d); ++j)
          for (int i = 0; i < kVecs; ++i)
            Vec::store(scratch.keys + p * head_dim + (d + j) * kKeyBlock + i * Vec::kWidth,
                       Vec::mul(numbers[j][i], scales[i]));
      }
    }
    alignas(64) float value_scales[kRowsBlock];
    for (int64_t p = 0; p < kRowsBlock; p += Vec::kWidth)
      Vec::store(value_scales + p, Vec::load_f16(chunk.value_scales + offset + p));
    for (int64_t d = 0; d < head_dim; d += 16) {
      const uint8_t* tiles = chunk.values + (d / 16 * kAttentionChunk + offset) / kTileDepth * kTile;
      for (int64_t p = 0; p < end - start; p += kTileDepth) {
        split_tile(tiles + p / kTileDepth * kTile, numbers);
        for (int64_t j = 0; j < kTileDepth; ++j)
          for (int i = 0; i < kVecs; ++i)
            Vec::store(scratch.values + d * kRowsBlock + (p + j) * 16 + i * Vec::kWidth,
                       Vec::mul(numbers[j][i], Vec::set1(value_scales[p + j])));
      }
    }
  }
};

}  // namespace
}  // namespace paro
