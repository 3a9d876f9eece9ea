// The int4 kernels for any vector type Vec of vec/*.h and byte arithmetic Bytes (both defined before this file is
// included, whose contents therefore have internal linkage too). Outputs lie in the lanes, four inputs in a lane's
// bytes; an activation's four bytes are broadcast. Bytes::kSteps products of nibble and int8 fit its accumulator.
#pragma once

#include "kernels/int4/int4.h"
#include "kernels/vec/sgemm_tiles.h"

namespace paro {
namespace {

constexpr int kTile = static_cast<int>(kInt4Tile);
constexpr int kTileVectors = kTile / Vec::kWidth;
constexpr int kLanes = Vec::kWidth;  // rows interleaved in Int8Rows
constexpr int kDirectRows = 4;       // rows that share nibbles straight from memory
constexpr int kGemmVectors = 2;      // of outputs in the many-rows kernel
constexpr int kGemmTiles = kGemmVectors / kTileVectors;
constexpr int kGemmRows = Vec::kWidth == 8 ? 4 : 8;
constexpr int kChunkRows = 128;  // rows that share unpacked nibbles
constexpr int kPrefetch = 1024;  // bytes ahead of the nibbles being read
constexpr int kMaxGroupSize = 128;
static_assert(kPanelOutputs == kGemmTiles * kTile && kLanes % kGemmRows == 0);

inline Vec::I broadcast4(const int8_t* q) {
  int32_t word;
  __builtin_memcpy(&word, q, 4);
  return Vec::iset1(word);
}

struct Meta {
  Vec::F scale[kTileVectors];
  Vec::I zero[kTileVectors];
};

inline Meta load_meta(const uint8_t* meta) {
  Meta m;
  for (int v = 0; v < kTileVectors; ++v) m.scale[v] = Vec::load_f16(meta + v * 2 * Vec::kWidth);
  Bytes::load_zeros(meta + 32, m.zero);
  return m;
}

// sum += (dot - zero * row_sum) * (scale * row_scale)
inline Vec::F add_group(Vec::F sum, Vec::I dot, Vec::F scale, Vec::I zero, float row_scale, int32_t row_sum) {
  // |row_sum| <= 128 * 127 fits 16 bits and the high half of a zero point is 0: one 16-bit product is exact.
  const Vec::I centred = Vec::isub(dot, Vec::madd16(zero, Vec::iset1(row_sum)));
  return Vec::fma(Vec::to_float(centred), Vec::mul(scale, Vec::set1(row_scale)), sum);
}

inline void store_tile(const Vec::F* sums, int64_t count, const float* bias, float* y) {
  alignas(64) float values[kTile];
  for (int v = 0; v < kTileVectors; ++v) Vec::store(values + v * Vec::kWidth, sums[v]);
  for (int64_t o = 0; o < count; ++o) y[o] = bias == nullptr ? values[o] : values[o] + bias[o];
}

// One tile, kRows rows from `row` on (all in one row tile of kStride lanes), nibbles straight from memory.
template <int kRows, int kStride>
inline void direct_tile(const PackedInt4& w, const Int8Rows& x, int64_t row, int64_t tile, const float* bias,
                        float* y) {
  const int64_t g = w.group_size;
  const int64_t groups = w.in / g;
  const int64_t padded = (x.rows + kStride - 1) / kStride * kStride;
  const int64_t lane = row % kStride;
  const uint8_t* codes = w.codes.data() + tile * w.in * (kTile / 2);
  const uint8_t* meta = w.meta.data() + tile * groups * kInt4MetaBytes;
  const Vec::I low = Vec::iset1(0x0f0f0f0f);
  Vec::F sums[kRows][kTileVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kTileVectors; ++v) sums[r][v] = Vec::zero();
  for (int64_t group = 0; group < groups; ++group) {
    const int8_t* q = x.q + (group * padded + row - lane) * g + lane * 4;
    Vec::I dot[kRows][kTileVectors];
    for (int r = 0; r < kRows; ++r)
      for (int v = 0; v < kTileVectors; ++v) dot[r][v] = Vec::izero();
    for (int64_t i = 0; i < g; i += 32) {
      typename Bytes::Sum part[kRows][kTileVectors];
      for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kTileVectors; ++v) part[r][v] = Bytes::start(dot[r][v]);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        Vec::I lo[kTileVectors];
        Vec::I hi[kTileVectors];
        __builtin_prefetch(codes + kPrefetch);
        for (int v = 0; v < kTileVectors; ++v) {
          Vec::I both = Vec::iload(codes + v * 4 * Vec::kWidth);
          asm("" : "+v"(both));  // else it is loaded twice
          lo[v] = Vec::iand(both, low);
          hi[v] = Vec::iand(Vec::template shr<4>(both), low);
        }
        for (int r = 0; r < kRows; ++r) {
          const Vec::I x0 = broadcast4(q + r * 4);
          const Vec::I x1 = broadcast4(q + kStride * 4 + r * 4);
          for (int v = 0; v < kTileVectors; ++v) part[r][v] = Bytes::add(Bytes::add(part[r][v], lo[v], x0), hi[v], x1);
        }
        codes += 4 * kTile;
        q += kStride * 8;
      }
      for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kTileVectors; ++v) dot[r][v] = Bytes::finish(dot[r][v], part[r][v]);
    }
    const Meta m = load_meta(meta);
    meta += kInt4MetaBytes;
    for (int r = 0; r < kRows; ++r) {
      const int64_t at = group * padded + row + r;
      for (int v = 0; v < kTileVectors; ++v)
        sums[r][v] = add_group(sums[r][v], dot[r][v], m.scale[v], m.zero[v], x.scales[at], x.sums[at]);
    }
  }
  const int64_t output = tile * kTile;
  const int64_t count = w.out - output < kTile ? w.out - output : kTile;
  for (int r = 0; r < kRows; ++r)
    store_tile(sums[r], count, bias == nullptr ? nullptr : bias + output, y + (row + r) * w.out + output);
}

inline void direct_rows(int64_t rows, const PackedInt4& w, const Int8Rows& x, int64_t row, int64_t tile,
                        const float* bias, float* y) {
  switch (rows) {
    case 1: return direct_tile<1, kLanes>(w, x, row, tile, bias, y);
    case 2: return direct_tile<2, kLanes>(w, x, row, tile, bias, y);
    case 3: return direct_tile<3, kLanes>(w, x, row, tile, bias, y);
    default: return direct_tile<4, kLanes>(w, x, row, tile, bias, y);
  }
}

// One group of kTiles tiles as bytes: panel [group_size / 4][kVectors of bytes].
template <int kTiles>
inline void unpack_group(const PackedInt4& w, int64_t tile, int64_t group, uint8_t* panel) {
  constexpr int line = kTiles * kTile * 4;
  const Vec::I low = Vec::iset1(0x0f0f0f0f);
  for (int t = 0; t < kTiles; ++t) {
    const uint8_t* codes = w.codes.data() + (tile + t) * w.in * (kTile / 2) + group * w.group_size * (kTile / 2);
    uint8_t* to = panel + t * kTile * 4;
    for (int64_t j = 0; j < w.group_size / 8; ++j) {
      for (int v = 0; v < kTileVectors; ++v) {
        const Vec::I both = Vec::iload(codes + j * 64 + v * 4 * Vec::kWidth);
        Vec::istore(to + 2 * j * line + v * 4 * Vec::kWidth, Vec::iand(both, low));
        Vec::istore(to + (2 * j + 1) * line + v * 4 * Vec::kWidth, Vec::iand(Vec::template shr<4>(both), low));
      }
    }
  }
}

// kGemmRows rows times one group's panel: sums [kGemmRows][kVectors].
template <int kVectors>
inline void gemm_block(const uint8_t* panel, int64_t g, const int8_t* q, const Vec::F* scale, const Vec::I* zero,
                       const float* row_scales, const int32_t* row_sums, float* sums) {
  Vec::I dot[kGemmRows][kVectors];
  for (int r = 0; r < kGemmRows; ++r)
    for (int v = 0; v < kVectors; ++v) dot[r][v] = Vec::izero();
  for (int64_t i = 0; i < g; i += 32) {
    typename Bytes::Sum part[kGemmRows][kVectors];
    for (int r = 0; r < kGemmRows; ++r)
      for (int v = 0; v < kVectors; ++v) part[r][v] = Bytes::start(dot[r][v]);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      Vec::I b[kVectors];
      for (int v = 0; v < kVectors; ++v) b[v] = Vec::iload(panel + v * 4 * Vec::kWidth);
      for (int r = 0; r < kGemmRows; ++r) {
        const Vec::I a = broadcast4(q + r * 4);
        for (int v = 0; v < kVectors; ++v) part[r][v] = Bytes::add(part[r][v], b[v], a);
      }
      panel += kVectors * 4 * Vec::kWidth;
      q += kLanes * 4;
    }
    for (int r = 0; r < kGemmRows; ++r)
      for (int v = 0; v < kVectors; ++v) dot[r][v] = Bytes::finish(dot[r][v], part[r][v]);
  }
  for (int r = 0; r < kGemmRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      float* sum = sums + (r * kVectors + v) * Vec::kWidth;
      Vec::store(sum, add_group(Vec::load(sum), dot[r][v], scale[v], zero[v], row_scales[r], row_sums[r]));
    }
  }
}

// kTiles tiles, rows [row, row + count), row a multiple of kLanes and the rows of the last row tile padded.
template <int kTiles>
inline void gemm_tiles(const PackedInt4& w, const Int8Rows& x, int64_t row, int64_t count, int64_t tile,
                       const float* bias, float* y) {
  constexpr int vectors = kTiles * kTileVectors;
  alignas(64) uint8_t panel[kMaxGroupSize * kTiles * kTile];
  alignas(64) float sums[kChunkRows * kTiles * kTile];
  const int64_t g = w.group_size;
  const int64_t groups = w.in / g;
  const int64_t padded = x.padded();
  const int64_t blocks = (count + kGemmRows - 1) / kGemmRows;
  __builtin_memset(sums, 0, static_cast<size_t>(blocks * kGemmRows * kTiles * kTile) * sizeof(float));
  for (int64_t group = 0; group < groups; ++group) {
    unpack_group<kTiles>(w, tile, group, panel);
    Vec::F scale[vectors];
    Vec::I zero[vectors];
    for (int t = 0; t < kTiles; ++t) {
      const Meta m = load_meta(w.meta.data() + ((tile + t) * groups + group) * kInt4MetaBytes);
      for (int v = 0; v < kTileVectors; ++v) {
        scale[t * kTileVectors + v] = m.scale[v];
        zero[t * kTileVectors + v] = m.zero[v];
      }
    }
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t r = row + block * kGemmRows;
      const int64_t lane = r % kLanes;
      gemm_block<vectors>(panel, g, x.q + (group * padded + r - lane) * g + lane * 4, scale, zero,
                          x.scales + group * padded + r, x.sums + group * padded + r,
                          sums + block * kGemmRows * kTiles * kTile);
    }
  }
  const int64_t output = tile * kTile;
  const int64_t outputs = w.out - output < kTiles * kTile ? w.out - output : kTiles * kTile;
  for (int64_t r = 0; r < count; ++r) {
    const float* from = sums + r * kTiles * kTile;
    float* to = y + (row + r) * w.out + output;
    for (int64_t o = 0; o < outputs; ++o) to[o] = bias == nullptr ? from[o] : from[o] + bias[output + o];
  }
}

void multiply(const PackedInt4& w, const Int8Rows& x, int64_t row_begin, int64_t row_end, int64_t tile_begin,
              int64_t tile_end, const float* bias, float* y) {
  if (x.lanes == 1) {
    for (int64_t tile = tile_begin; tile < tile_end; ++tile)
      for (int64_t row = row_begin; row < row_end; ++row) direct_tile<1, 1>(w, x, row, tile, bias, y);
    return;
  }
  if (row_end - row_begin <= kDirectRows) {
    for (int64_t tile = tile_begin; tile < tile_end; ++tile)
      direct_rows(row_end - row_begin, w, x, row_begin, tile, bias, y);
    return;
  }
  for (int64_t row = row_begin; row < row_end; row += kChunkRows) {
    const int64_t count = row_end - row < kChunkRows ? row_end - row : kChunkRows;
    int64_t tile = tile_begin;
    for (; tile + kGemmTiles <= tile_end; tile += kGemmTiles) gemm_tiles<kGemmTiles>(w, x, row, count, tile, bias, y);
    for (; tile < tile_end; ++tile) gemm_tiles<1>(w, x, row, count, tile, bias, y);
  }
}

void multiply_f32(const PackedInt4& w, const float* x, int64_t rows, int64_t row_begin, int64_t row_end,
                  int64_t tile_begin, int64_t tile_end, const float* bias, float* y) {
  const int64_t tiles = (w.out + kTile - 1) / kTile;
  const Vec::I low = Vec::iset1(15);
  const auto make_panel = [&](int64_t output, int64_t begin, int64_t depth, float* panel) {
    for (int t = 0; t < kGemmTiles; ++t) {
      const int64_t wanted = output / kTile + t;
      const int64_t tile = wanted < tiles ? wanted : tiles - 1;
      const int64_t groups = w.in / w.group_size;
      const Meta m = load_meta(w.meta.data() + (tile * groups + begin / w.group_size) * kInt4MetaBytes);
      const uint8_t* codes = w.codes.data() + tile * w.in * (kTile / 2) + begin * (kTile / 2);
      for (int v = 0; v < kTileVectors; ++v) {
        const Vec::F zero = Vec::to_float(m.zero[v]);
        float* to = panel + (t * kTileVectors + v) * Vec::kWidth;
        const auto put = [&](int64_t k, Vec::I code) {
          Vec::store(to + k * kPanelOutputs, Vec::mul(Vec::sub(Vec::to_float(Vec::iand(code, low)), zero), m.scale[v]));
        };
        for (int64_t j = 0; j < depth / 8; ++j) {
          const Vec::I both = Vec::iload(codes + j * 64 + v * 4 * Vec::kWidth);
          put(8 * j, both);
          put(8 * j + 1, Vec::template shr<8>(both));
          put(8 * j + 2, Vec::template shr<16>(both));
          put(8 * j + 3, Vec::template shr<24>(both));
          put(8 * j + 4, Vec::template shr<4>(both));
          put(8 * j + 5, Vec::template shr<12>(both));
          put(8 * j + 6, Vec::template shr<20>(both));
          put(8 * j + 7, Vec::template shr<28>(both));
        }
      }
    }
  };
  const int64_t out_end = tile_end * kTile < w.out ? tile_end * kTile : w.out;
  multiply_panels(x, w.in, w.group_size, rows, row_begin, row_end, w.out, tile_begin * kTile, out_end, bias, y,
                  make_panel);
}

}  // namespace
}  // namespace paro
