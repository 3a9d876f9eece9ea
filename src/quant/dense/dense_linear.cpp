#include "quant/dense/dense_linear.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

#include "base/error.h"
#include "kernels/dense/dense.h"
#include "kernels/vec/aligned_buffer.h"

namespace paro {
namespace {

// Weight bytes of one range of outputs: large enough for a stream, small enough to balance the threads.
constexpr int64_t kRangeBytes = 64 << 10;
constexpr int64_t kRangeRows = 96;
constexpr int64_t kBlockedRows = 32;
constexpr int64_t kConvertedRows = 64;
// Added and subtracted, it rounds a number below 2^22 to the nearest integer, ties to even (1.5 * 2^23).
constexpr float kRounder = 12582912.0f;

class DenseLinear : public CpuLinear {
 public:
  /// `scales` [out] of an I8 weight, else empty.
  DenseLinear(LoadedTensor weight, std::vector<float> bias, std::vector<float> scales = {})
      : weight_(std::move(weight)), bias_(std::move(bias)), scales_(std::move(scales)) {
    out = weight_.view.shape[0];
    in = weight_.view.shape[1];
    view_ = {weight_.view.data, weight_.view.dtype, in, out, scales_.data()};
  }

  bool same_input(const CpuLinear& other) const override {
    return dynamic_cast<const DenseLinear*>(&other) != nullptr && other.in == in;
  }

  PreparedInput prepare(const CpuContext& context, const LinearInput& input, int64_t rows) const override {
    PreparedInput prepared;
    prepared.x = computed_rows(context, input, rows, in);
    prepared.rows = rows;
    return prepared;
  }

  void multiply(const CpuContext& context, const PreparedInput& input, float* y) const override {
    const DenseKernels& kernels = dense_kernels(context.isa);
    const float* bias = bias_.empty() ? nullptr : bias_.data();
    if (input.rows <= kDenseFewRows) {
      const int64_t row_bytes = in * dtype_size(view_.dtype);
      const int64_t grain = std::max<int64_t>(4, kRangeBytes / row_bytes / 4 * 4);
      if (view_.dtype == DType::kI8) {
        const ArenaScope scope(context.arena);
        auto* q = context.arena.array<int16_t>(input.rows * in);
        auto* scales = context.arena.array<float>(input.rows);
        round_to_int16(input.x, input.rows, in, q, scales);
        context.pool.parallel_for(out, grain, [&](int64_t begin, int64_t end) {
          kernels.few_rows_int8(view_, {q, scales, input.rows}, begin, end, bias, y);
        });
        return;
      }
      context.pool.parallel_for(out, grain, [&](int64_t begin, int64_t end) {
        kernels.few_rows(view_, input.x, input.rows, begin, end, bias, y);
      });
      return;
    }
    const ArenaScope scope(context.arena);
    float* blocked = context.arena.array<float>(input.rows * in);
    context.pool.parallel_for(input.rows, kBlockedRows, [&](int64_t begin, int64_t end) {
      block_inputs(input.x, input.rows, in, kDenseBlock, begin, end, blocked);
    });
    const int64_t grain = std::max<int64_t>(kernels.grain, 64);
    const int64_t ranges = (out + grain - 1) / grain;
    const int64_t row_ranges = (input.rows + kRangeRows - 1) / kRangeRows;
    context.pool.parallel_for(ranges * row_ranges, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t row = item / ranges * kRangeRows;
        const int64_t output = item % ranges * grain;
        kernels.many_rows(view_, blocked, input.rows, row, std::min(row + kRangeRows, input.rows), output,
                          std::min(output + grain, out), bias, y);
      }
    });
  }

  int64_t weight_bytes() const override {
    return weight_.view.bytes() + static_cast<int64_t>(scales_.size() * sizeof(float));
  }

  std::vector<float> dequantize() const override {
    std::vector<float> values(static_cast<size_t>(out * in));
    if (weight_.view.dtype != DType::kI8) {
      copy_as_f32(weight_.view, 0, out * in, values.data());
    } else {
      for (int64_t k = 0; k < out * in; ++k)
        values[static_cast<size_t>(k)] =
            static_cast<float>(std::to_integer<int8_t>(weight_.view.data[k])) * scales_[static_cast<size_t>(k / in)];
    }
    return values;
  }

  std::unique_ptr<CpuLinear> rounded_to_int8(ThreadPool& pool, PreparedCache* prepared) const {
    const std::string codes_name = name + ".int8";
    const std::string scales_name = name + ".int8_scales";
    const int64_t scales_bytes = out * static_cast<int64_t>(sizeof(float));
    std::vector<float> scales(static_cast<size_t>(out));
    if (prepared != nullptr) {
      const std::span<const std::byte> codes = prepared->find(codes_name, out * in);
      const std::span<const std::byte> found = prepared->find(scales_name, scales_bytes);
      if (!codes.empty() && !found.empty()) {
        std::memcpy(scales.data(), found.data(), found.size());
        return int8_linear(codes.data(), prepared->owner(), std::move(scales));
      }
    }
    auto codes = std::make_shared<AlignedBuffer>(out * in);
    pool.parallel_for(out, kConvertedRows, [&](int64_t begin, int64_t end) {
      std::vector<float> row(static_cast<size_t>(in));
      for (int64_t o = begin; o < end; ++o) {
        copy_as_f32(weight_.view, o * in, in, row.data());
        // A row that is not finite keeps giving results that are not.
        const bool finite = std::all_of(row.begin(), row.end(), [](float v) { return std::isfinite(v); });
        float largest = 0.0f;
        for (float& v : row) largest = std::max(largest, std::abs(v = finite ? v : 0.0f));
        const float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
        auto* code = reinterpret_cast<int8_t*>(codes->data()) + o * in;
        scales[static_cast<size_t>(o)] = finite ? largest / 127.0f : std::numeric_limits<float>::quiet_NaN();
        for (int64_t i = 0; i < in; ++i)
          code[i] = static_cast<int8_t>((row[static_cast<size_t>(i)] * inverse + kRounder) - kRounder);
      }
    });
    const auto* bytes = reinterpret_cast<const std::byte*>(codes->data());
    auto linear = int8_linear(bytes, codes, std::move(scales));
    if (prepared != nullptr) {
      prepared->add(codes_name, {bytes, static_cast<size_t>(out * in)});
      prepared->add(scales_name, std::as_bytes(std::span(linear->scales_)));
    }
    return linear;
  }

  DenseParts parts() const { return {&weight_.view, &bias_}; }

 private:
  std::unique_ptr<DenseLinear> int8_linear(const std::byte* codes, std::shared_ptr<const void> owner,
                                           std::vector<float> scales) const {
    auto linear = std::make_unique<DenseLinear>(LoadedTensor{{DType::kI8, {out, in}, codes}, std::move(owner)}, bias_,
                                                std::move(scales));
    linear->name = name;
    return linear;
  }

  LoadedTensor weight_;
  std::vector<float> bias_;
  std::vector<float> scales_;
  DenseWeight view_;
};

}  // namespace

std::unique_ptr<CpuLinear> read_dense_linear(const WeightSource& source, const std::string& name, int64_t out,
                                             int64_t in, bool bias) {
  const std::string weight = name + ".weight";
  const TensorInfo& info = source.require(weight, {out, in});
  if (info.dtype != DType::kF32 && info.dtype != DType::kF16 && info.dtype != DType::kBF16)
    fail_input("{}: {}: expected type F32, F16 or BF16, found {}", source.place(weight), weight,
               dtype_name(info.dtype));
  std::vector<float> values;
  if (bias) {
    source.require(name + ".bias", {out});
    values = source.load_f32(name + ".bias");
  }
  auto linear = std::make_unique<DenseLinear>(source.load(weight), std::move(values));
  linear->name = name;
  return linear;
}

std::unique_ptr<CpuLinear> make_int8_linear(LoadedTensor codes, std::vector<float> scales) {
  PARO_CHECK(codes.view.dtype == DType::kI8 && codes.view.shape.at(0) == std::ssize(scales));
  return std::make_unique<DenseLinear>(std::move(codes), std::vector<float>{}, std::move(scales));
}

std::optional<DenseParts> dense_parts(const Linear& linear) {
  const auto* dense = dynamic_cast<const DenseLinear*>(&linear);
  if (dense == nullptr || dense->parts().weight->dtype == DType::kI8) return std::nullopt;
  return dense->parts();
}

std::unique_ptr<CpuLinear> rounded_to_int8(const Linear& linear, ThreadPool& pool, PreparedCache* prepared) {
  if (!dense_parts(linear)) return nullptr;
  return dynamic_cast<const DenseLinear&>(linear).rounded_to_int8(pool, prepared);
}

namespace {

template <typename T>
std::unique_ptr<CpuLinear> dense_of(DType type, std::vector<T> weight, int64_t out, int64_t in,
                                    std::vector<float> bias) {
  PARO_CHECK(static_cast<int64_t>(weight.size()) == out * in);
  PARO_CHECK(bias.empty() || static_cast<int64_t>(bias.size()) == out);
  const auto owner = std::make_shared<const std::vector<T>>(std::move(weight));
  LoadedTensor tensor;
  tensor.view = {type, {out, in}, reinterpret_cast<const std::byte*>(owner->data())};
  tensor.owner = owner;
  return std::make_unique<DenseLinear>(std::move(tensor), std::move(bias));
}

}  // namespace

std::unique_ptr<CpuLinear> make_dense_linear(std::vector<float> weight, int64_t out, int64_t in,
                                             std::vector<float> bias) {
  return dense_of(DType::kF32, std::move(weight), out, in, std::move(bias));
}

std::unique_ptr<CpuLinear> make_dense_linear(std::vector<uint16_t> weight, int64_t out, int64_t in,
                                             std::vector<float> bias) {
  return dense_of(DType::kF16, std::move(weight), out, in, std::move(bias));
}

}  // namespace paro
