#include "quant/paro4/paro4_linear.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "kernels/convert/convert.h"
#include "kernels/dense/dense.h"
#include "kernels/int4/int4.h"
#include "kernels/rotate/rotate.h"
#include "kernels/variants.h"
#include "quant/paro4/rotation_cache.h"

namespace paro {
namespace {

// Weight bytes of one range of tiles: large enough for a stream, small enough to balance the threads.
constexpr int64_t kRangeBytes = 64 << 10;
// Rows of one item of a product with many rows; with them the activations of a range stay in L2.
constexpr int64_t kRangeRows = 128;
constexpr int64_t kBlockedRows = 32;
// Channels to prepare below which a second thread costs more than it saves.
constexpr int64_t kSerialChannels = 1024;
// Largest number of interleaved rows.
constexpr int64_t kMostLanes = 16;
// Channels of a row computed at a time: with 16 rows as much as the first-level cache holds.
constexpr int64_t kComputedChannels = 512;

// x = x rounded to f16, n values. What is finite stays so: activations of a few tokens come near the end of f16.
void round_to_f16(const ConvertKernels& convert, float* x, int64_t n) {
  constexpr int64_t kPiece = 256;
  constexpr float kLargest = 65504.0f;
  uint16_t half[kPiece];
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    const int64_t count = std::min(kPiece, n - begin);
    float* piece = x + begin;
    for (int64_t i = 0; i < count; ++i) {
      const float clamped = std::clamp(piece[i], -kLargest, kLargest);
      piece[i] = std::abs(piece[i]) <= std::numeric_limits<float>::max() ? clamped : piece[i];
    }
    convert.f32_to_f16(piece, count, half);
    convert.f16_to_f32(half, count, piece);
  }
}

class Paro4Linear : public CpuLinear {
 public:
  explicit Paro4Linear(PackedParo4 weight)
      : packed_(std::move(weight.weight)),
        low_(std::move(weight.low)),
        rotation_(shared_tables(*weight.rotation, weight.order)),
        bias_(std::move(weight.bias)) {
    in = packed_.in;
    out = packed_.out;
    PARO_CHECK(packed_.group_size <= kComputedChannels);
    for (const RotateKernels& kernels : rotate_variants()) PARO_CHECK(kernels.lanes <= kMostLanes);
  }

  bool same_input(const CpuLinear& other) const override {
    const auto* paro = dynamic_cast<const Paro4Linear*>(&other);
    return paro != nullptr && paro->rotation_ == rotation_;
  }

  PreparedInput prepare(const CpuContext& context, const LinearInput& given, int64_t rows) const override {
    const LinearInput input = ordered(context, given, rows);
    if (context.activations != Activations::kInt8) return prepare_floats(context, input, rows);
    const int64_t groups = packed_.groups();
    Int8Rows out_rows;
    out_rows.rows = rows;
    out_rows.lanes = rows == 1 ? 1 : rotate_kernels(context.isa).lanes;
    const int64_t padded = out_rows.padded();
    out_rows.q = context.arena.array<int8_t>(padded * in);
    out_rows.scales = context.arena.array<float>(padded * groups);
    out_rows.sums = context.arena.array<int32_t>(padded * groups);
    rotate_quantize(context, input, out_rows);
    PreparedInput prepared;
    prepared.rows = rows;
    prepared.q = out_rows.q;
    prepared.scales = out_rows.scales;
    prepared.sums = out_rows.sums;
    prepared.lanes = out_rows.lanes;
    return prepared;
  }

  void multiply(const CpuContext& context, const PreparedInput& input, float* y) const override {
    if (input.q == nullptr) return multiply_f32(context, input, y);
    context.pool.parallel_for(cut(context, input.rows).pieces(), 1,
                              [&](int64_t begin, int64_t end) { multiply_pieces(context, input, begin, end, y); });
  }

  int64_t pieces(const CpuContext& context, const PreparedInput& input) const override {
    return input.q == nullptr ? 0 : cut(context, input.rows).pieces();
  }

  void multiply_pieces(const CpuContext& context, const PreparedInput& input, int64_t begin, int64_t end,
                       float* y) const override {
    const Int4Kernels& kernels = int4_kernels(context.isa);
    Int8Rows x;
    x.q = const_cast<int8_t*>(input.q);
    x.scales = const_cast<float*>(input.scales);
    x.sums = const_cast<int32_t*>(input.sums);
    x.rows = input.rows;
    x.lanes = input.lanes;
    for_pieces(cut(context, input.rows), begin, end, [&](int64_t row, int64_t row_end, int64_t tile, int64_t tile_end) {
      kernels.multiply(packed_, x, row, row_end, tile, tile_end, bias(), y);
      if (low_) kernels.multiply(*low_, x, row, row_end, tile, tile_end, Int4Addend::results(y, out), y);
    });
  }

  int64_t weight_bytes() const override {
    return code_bytes() + rotation_->tables.bytes() + static_cast<int64_t>(bias_.size() * sizeof(float)) +
           static_cast<int64_t>(rotation_->order.size() * sizeof(int32_t));
  }

  std::vector<float> dequantize() const override {
    std::vector<float> w = unpack_int4(packed_);
    if (low_) {
      const std::vector<float> rest = unpack_int4(*low_);
      for (size_t i = 0; i < w.size(); ++i) w[i] += rest[i];
    }
    unrotate_weight(rotation_->rotation, w.data(), out);
    return in_natural_order(std::move(w), in, rotation_->order);
  }

 private:
  // The input with its channels in the order of the weight.
  LinearInput ordered(const CpuContext& context, const LinearInput& input, int64_t rows) const {
    if (rotation_->order.empty()) return input;
    const int32_t* order = rotation_->order.data();
    const float* x = computed_rows(context, input, rows, in);
    auto* y = context.arena.array<float>(rows * in);
    for_each_item(context, rows, rows * in, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t i = 0; i < in; ++i) y[row * in + i] = x[row * in + order[i]];
    });
    return {.x = y};
  }

  PreparedInput prepare_floats(const CpuContext& context, const LinearInput& input, int64_t rows) const {
    PreparedInput prepared;
    prepared.rows = rows;
    prepared.x = computed_rows(context, input, rows, in);
    const RotationTables& tables = rotation_->tables;
    const bool round = context.activations == Activations::kF16;
    if (tables.identity() && !round) return prepared;
    auto* y = context.arena.array<float>(rows * in);
    const RotateKernels& kernels = rotate_kernels(context.isa);
    const ConvertKernels& convert = variant_for(convert_variants(), context.isa);
    for_each_item(context, packed_.groups(), rows * in, [&](int64_t begin, int64_t end) {
      kernels.rotate(tables, prepared.x, rows, begin, end, y);
      const int64_t first = begin * packed_.group_size;
      const int64_t count = (end - begin) * packed_.group_size;
      for (int64_t r = 0; round && r < rows; ++r) round_to_f16(convert, y + r * in + first, count);
    });
    prepared.x = y;
    return prepared;
  }

  // Threads divide the tiles of rows, which lie together in x; where there are few, their groups too.
  void rotate_quantize(const CpuContext& context, const LinearInput& input, const Int8Rows& out_rows) const {
    const int64_t groups = packed_.groups();
    const int64_t tiles = out_rows.padded() / out_rows.lanes;
    const int64_t wanted = context.pool.size() * (out_rows.rows > 1 ? 4 : 1);
    const int64_t parts = std::clamp<int64_t>(wanted / tiles, 1, groups);
    const LinearInputRows computed(context.isa, input, in);
    for_each_item(context, tiles * parts, out_rows.rows * in, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t part = item % parts;
        rotate_quantize_tile(context, input, computed, out_rows, item / parts, groups * part / parts,
                             groups * (part + 1) / parts);
      }
    });
  }

  void rotate_quantize_tile(const CpuContext& context, const LinearInput& input, const LinearInputRows& computed,
                            const Int8Rows& out_rows, int64_t tile, int64_t group_begin, int64_t group_end) const {
    const RotateKernels& kernels = rotate_kernels(context.isa);
    const RotationTables& tables = rotation_->tables;
    if (input.plain())
      return kernels.rotate_quantize(tables, {input.x, in}, out_rows, tile, tile + 1, group_begin, group_end);
    alignas(64) float values[kMostLanes * kComputedChannels];
    const int64_t g = packed_.group_size;
    const int64_t row = tile * out_rows.lanes;
    const int64_t count = std::min(out_rows.lanes, out_rows.rows - row);
    const int64_t most = kComputedChannels / g;
    for (int64_t group = group_begin; group < group_end; group += most) {
      const int64_t end = std::min(group + most, group_end);
      const int64_t width = (end - group) * g;
      for (int64_t r = 0; r < count; ++r) computed.compute(row + r, group * g, end * g, values + r * width);
      kernels.rotate_quantize(tables, {values, width, row, group * g}, out_rows, tile, tile + 1, group, end);
    }
  }

  // body(begin, end) over `items`, in parallel where there are channels enough.
  template <typename Body>
  static void for_each_item(const CpuContext& context, int64_t items, int64_t channels, const Body& body) {
    if (channels <= kSerialChannels) return body(0, items);
    const int64_t pieces = std::min<int64_t>(items, context.pool.size() * 4);
    context.pool.parallel_for(items, (items + pieces - 1) / pieces, body);
  }

  // A product's pieces: ranges of tiles inside ranges of rows.
  struct Cut {
    int64_t rows;
    int64_t tiles;
    int64_t grain;  // tiles of a range

    int64_t ranges() const { return (tiles + grain - 1) / grain; }
    int64_t pieces() const { return ranges() * ((rows + kRangeRows - 1) / kRangeRows); }
  };

  Cut cut(const CpuContext& context, int64_t rows) const {
    const int64_t tiles = packed_.tiles();
    const int64_t tile_grain = int4_kernels(context.isa).tile_grain;
    int64_t grain = std::max<int64_t>(1, kRangeBytes / (code_bytes() / tiles));
    grain = std::min(grain, std::max<int64_t>(1, tiles / (context.pool.size() * 4)));
    return {rows, tiles, (grain + tile_grain - 1) / tile_grain * tile_grain};
  }

  // body(row, row_end, tile, tile_end)
  template <typename Body>
  static void for_pieces(const Cut& cut, int64_t begin, int64_t end, const Body& body) {
    const int64_t ranges = cut.ranges();
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t row = piece / ranges * kRangeRows;
      const int64_t tile = piece % ranges * cut.grain;
      body(row, std::min(row + kRangeRows, cut.rows), tile, std::min(tile + cut.grain, cut.tiles));
    }
  }

  void multiply_f32(const CpuContext& context, const PreparedInput& input, float* y) const {
    const Int4Kernels& kernels = int4_kernels(context.isa);
    const ArenaScope scope(context.arena);
    const float* x = input.x;
    if (input.rows > 1) {
      float* blocked = context.arena.array<float>(input.rows * in);
      const int64_t g = packed_.group_size;
      context.pool.parallel_for(input.rows, kBlockedRows, [&](int64_t begin, int64_t end) {
        block_inputs(input.x, input.rows, in, g, begin, end, blocked);
      });
      x = blocked;
    }
    const Cut whole = cut(context, input.rows);
    context.pool.parallel_for(whole.pieces(), 1, [&](int64_t begin, int64_t end) {
      for_pieces(whole, begin, end, [&](int64_t row, int64_t row_end, int64_t tile, int64_t tile_end) {
        kernels.multiply_f32(packed_, x, input.rows, row, row_end, tile, tile_end, bias(), y);
        if (low_)
          kernels.multiply_f32(*low_, x, input.rows, row, row_end, tile, tile_end, Int4Addend::results(y, out), y);
      });
    });
  }

  const float* bias() const { return bias_.empty() ? nullptr : bias_.data(); }
  int64_t code_bytes() const { return packed_.bytes() + (low_ ? low_->bytes() : 0); }

  PackedInt4 packed_;
  std::optional<PackedInt4> low_;
  std::shared_ptr<const SharedRotation> rotation_;
  std::vector<float> bias_;
};

}  // namespace

std::unique_ptr<CpuLinear> make_paro4_linear(PackedParo4 weight) {
  return std::make_unique<Paro4Linear>(std::move(weight));
}

std::unique_ptr<CpuLinear> make_paro4_linear(const Paro4Weight& weight) {
  return make_paro4_linear(pack_paro4(weight));
}

}  // namespace paro
