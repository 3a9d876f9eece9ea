// A plain CpuLinear for tests of the op set: f32 weights, an input "basis" that tells which inputs may be shared, and
// counts of what was called.
#pragma once

#include <cstring>
#include <vector>

#include "quant/cpu_linear.h"

namespace paro {

class FakeLinear : public CpuLinear {
 public:
  FakeLinear(int64_t out_dim, int64_t in_dim, std::vector<float> weight, int basis = 0)
      : weight_(std::move(weight)), basis_(basis) {
    in = in_dim;
    out = out_dim;
  }

  bool same_input(const CpuLinear& other) const override {
    const auto* fake = dynamic_cast<const FakeLinear*>(&other);
    return fake != nullptr && fake->basis_ == basis_ && fake->in == in;
  }
  PreparedInput prepare(const CpuContext& context, const LinearInput& from, int64_t rows) const override {
    ++prepared;
    const float* x = computed_rows(context, from, rows, in);
    auto* copy = context.arena.array<float>(rows * in);
    for (int64_t i = 0; i < rows * in; ++i) copy[i] = x[i] * static_cast<float>(basis_ + 1);
    PreparedInput input;
    input.x = copy;
    input.rows = rows;
    return input;
  }
  void multiply(const CpuContext& context, const PreparedInput& input, float* y) const override {
    context.pool.parallel_for(input.rows * out, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        double sum = 0.0;
        for (int64_t j = 0; j < in; ++j)
          sum += static_cast<double>(input.x[i / out * in + j]) * weight_[static_cast<size_t>(i % out * in + j)];
        y[i] = static_cast<float>(sum / (basis_ + 1));
      }
    });
  }
  int64_t weight_bytes() const override { return in * out * 4; }
  std::vector<float> dequantize() const override { return weight_; }

  mutable int prepared = 0;

 private:
  std::vector<float> weight_;
  int basis_;
};

}  // namespace paro
