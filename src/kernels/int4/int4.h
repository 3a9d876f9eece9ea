// Products of 4-bit weights with int8 or f32 activations: y[r, o] = sum over groups of scale[o, g] * sum over the
// group of (code - zero) * x[r, i], + bias. The int8 product is exact inside a group and adds groups in order with
// one FMA each, so all variants give the same bits for any number of rows and threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/rotate/rotate.h"
#include "kernels/vec/aligned_buffer.h"

namespace paro {

/// Outputs that lie side by side in memory and in the lanes of vectors.
constexpr int64_t kInt4Tile = 16;

/// Codes in the order in which a product reads them. Tile t holds outputs 16 t .. 16 t + 15 (missing ones are zero):
/// codes [tiles][in / 8][16 outputs][4]: byte (j, o, i) has input 8 j + i in its low and 8 j + 4 + i in its high
/// nibble. meta [tiles][groups][40]: 16 scales in f16, then 8 bytes whose low nibbles are the zero points of outputs
/// 0..7 and whose high nibbles are those of 8..15. 4.16 bits a weight at groups of 128.
struct PackedInt4 {
  int64_t in = 0;
  int64_t out = 0;
  int64_t group_size = 0;  // 32, 64 or 128
  AlignedBuffer codes;
  AlignedBuffer meta;

  int64_t groups() const { return in / group_size; }
  int64_t tiles() const { return (out + kInt4Tile - 1) / kInt4Tile; }
  int64_t bytes() const { return codes.size() + meta.size(); }
};

constexpr int64_t kInt4MetaBytes = 40;
/// Names the bytes of PackedInt4, which files keep (io/prepared_cache.h): to be raised whenever they change. They are
/// the same for every instruction set.
constexpr uint32_t kPackedInt4Layout = 1;

/// codes [out, in] and zeros [out, groups] 0..15; scales [out, groups], rounded to f16.
PackedInt4 pack_int4(const uint8_t* codes, const uint8_t* zeros, const float* scales, int64_t out, int64_t in,
                     int64_t group_size, ThreadPool* pool = nullptr);
/// What pack_int4 was given.
void unpack_int4(const PackedInt4& weight, std::vector<uint8_t>& codes, std::vector<uint8_t>& zeros,
                 std::vector<float>& scales);
/// (code - zero) * scale, [out, in].
std::vector<float> unpack_int4(const PackedInt4& weight);

/// What a product is added to: nothing, a bias [out], or what y [rows, out] holds already (a second product that shares
/// the input: the other half of 8-bit codes).
struct Int4Addend {
  const float* values = nullptr;
  int64_t row_stride = 0;  // of values: 0 for a bias

  Int4Addend(const float* bias = nullptr) : values(bias) {}
  static Int4Addend results(const float* y, int64_t out) {
    Int4Addend addend(y);
    addend.row_stride = out;
    return addend;
  }
  /// Of outputs from `output` on in one row; null where there is nothing to add.
  const float* at(int64_t row, int64_t output) const {
    return values == nullptr ? nullptr : values + row * row_stride + output;
  }
};

struct Int4Kernels {
  Isa isa;
  int64_t lanes;       // of Int8Rows with more than one row
  int64_t tile_grain;  // ranges of tiles should begin at multiples of it

  /// y [rows, out] for rows [row_begin, row_end) (row_begin a multiple of x.lanes) and tiles [tile_begin, tile_end).
  void (*multiply)(const PackedInt4& weight, const Int8Rows& x, int64_t row_begin, int64_t row_end, int64_t tile_begin,
                   int64_t tile_end, Int4Addend addend, float* y);
  /// The same with f32 activations x [groups][rows][group_size].
  void (*multiply_f32)(const PackedInt4& weight, const float* x, int64_t rows, int64_t row_begin, int64_t row_end,
                       int64_t tile_begin, int64_t tile_end, Int4Addend addend, float* y);
};

/// Compiled variants, those included that this processor cannot run (see supported_isas()).
std::span<const Int4Kernels> int4_variants();
/// The variant of `isa`, or the best below it.
const Int4Kernels& int4_kernels(Isa isa);

}  // namespace paro
