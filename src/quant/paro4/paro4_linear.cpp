#include "quant/paro4/paro4_linear.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "kernels/dense/dense.h"
#include "kernels/int4/int4.h"
#include "kernels/rotate/rotate.h"
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

class Paro4Linear : public CpuLinear {
 public:
  Paro4Linear(const Paro4Weight& weight, ThreadPool* pool)
      : packed_(pack_int4(weight.codes.data(), weight.zeros.data(), weight.scales.data(), weight.out, weight.in,
                          weight.group_size, pool)),
        rotation_(shared_tables(*weight.rotation)),
        bias_(weight.bias) {
    in = weight.in;
    out = weight.out;
  }

  bool same_input(const CpuLinear& other) const override {
    const auto* paro = dynamic_cast<const Paro4Linear*>(&other);
    return paro != nullptr && paro->rotation_ == rotation_;
  }

  PreparedInput prepare(const CpuContext& context, const float* x, int64_t rows) const override {
    const RotateKernels& kernels = rotate_kernels(context.isa);
    const RotationTables& tables = rotation_->tables;
    const int64_t groups = packed_.groups();
    PreparedInput input;
    input.rows = rows;
    if (context.activations == Activations::kF32) {
      if (tables.identity()) {
        input.x = x;
        return input;
      }
      float* y = context.arena.array<float>(rows * in);
      for_groups(context, rows, [&](int64_t begin, int64_t end) { kernels.rotate(tables, x, rows, begin, end, y); });
      input.x = y;
      return input;
    }
    Int8Rows out_rows;
    out_rows.rows = rows;
    out_rows.lanes = rows == 1 ? 1 : kernels.lanes;
    const int64_t padded = out_rows.padded();
    out_rows.q = context.arena.array<int8_t>(padded * in);
    out_rows.scales = context.arena.array<float>(padded * groups);
    out_rows.sums = context.arena.array<int32_t>(padded * groups);
    for_groups(context, rows, [&](int64_t begin, int64_t end) {
      kernels.rotate_quantize(tables, x, out_rows, 0, padded / out_rows.lanes, begin, end);
    });
    input.q = out_rows.q;
    input.scales = out_rows.scales;
    input.sums = out_rows.sums;
    input.lanes = out_rows.lanes;
    return input;
  }

  void multiply(const CpuContext& context, const PreparedInput& input, float* y) const override {
    const Int4Kernels& kernels = int4_kernels(context.isa);
    const float* bias = bias_.empty() ? nullptr : bias_.data();
    if (input.q == nullptr) return multiply_f32(context, kernels, input, bias, y);
    Int8Rows x;
    x.q = const_cast<int8_t*>(input.q);
    x.scales = const_cast<float*>(input.scales);
    x.sums = const_cast<int32_t*>(input.sums);
    x.rows = input.rows;
    x.lanes = input.lanes;
    for_tiles(context, input.rows, kernels.tile_grain, [&](int64_t row, int64_t row_end, int64_t tile, int64_t end) {
      kernels.multiply(packed_, x, row, row_end, tile, end, bias, y);
    });
  }

  int64_t weight_bytes() const override {
    return packed_.bytes() + rotation_->tables.bytes() + static_cast<int64_t>(bias_.size() * sizeof(float));
  }

  std::vector<float> dequantize() const override {
    std::vector<float> w = unpack_int4(packed_);
    unrotate_weight(rotation_->rotation, w.data(), out);
    return w;
  }

 private:
  template <typename Body>
  void for_groups(const CpuContext& context, int64_t rows, const Body& body) const {
    const int64_t groups = packed_.groups();
    if (rows * in <= kSerialChannels) return body(0, groups);
    const int64_t parts = std::min<int64_t>(groups, context.pool.size() * (rows > 1 ? 4 : 1));
    context.pool.parallel_for(groups, (groups + parts - 1) / parts, body);
  }

  // body(row, row_end, tile, tile_end) over all rows and tiles: ranges of tiles inside ranges of rows.
  template <typename Body>
  void for_tiles(const CpuContext& context, int64_t rows, int64_t tile_grain, const Body& body) const {
    const int64_t tiles = packed_.tiles();
    const int64_t tile_bytes = packed_.bytes() / tiles;
    int64_t grain = std::max<int64_t>(1, kRangeBytes / tile_bytes);
    grain = std::min(grain, std::max<int64_t>(1, tiles / (context.pool.size() * 4)));
    grain = (grain + tile_grain - 1) / tile_grain * tile_grain;
    const int64_t ranges = (tiles + grain - 1) / grain;
    const int64_t row_ranges = (rows + kRangeRows - 1) / kRangeRows;
    context.pool.parallel_for(ranges * row_ranges, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t row = item / ranges * kRangeRows;
        const int64_t tile = item % ranges * grain;
        body(row, std::min(row + kRangeRows, rows), tile, std::min(tile + grain, tiles));
      }
    });
  }

  void multiply_f32(const CpuContext& context, const Int4Kernels& kernels, const PreparedInput& input,
                    const float* bias, float* y) const {
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
    for_tiles(context, input.rows, kernels.tile_grain, [&](int64_t row, int64_t row_end, int64_t tile, int64_t end) {
      kernels.multiply_f32(packed_, x, input.rows, row, row_end, tile, end, bias, y);
    });
  }

  PackedInt4 packed_;
  std::shared_ptr<const SharedRotation> rotation_;
  std::vector<float> bias_;
};

}  // namespace

std::unique_ptr<CpuLinear> make_paro4_linear(const Paro4Weight& weight, ThreadPool* pool) {
  return std::make_unique<Paro4Linear>(weight, pool);
}

}  // namespace paro
