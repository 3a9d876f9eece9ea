// Weights for calibration: every linear in f32 and replaceable, the rest as the CPU backend makes it.
#pragma once

#include <memory>

#include "backends/cpu/cpu_ops.h"
#include "model/linear.h"

namespace paro::calib {

class DenseWeightFactory : public WeightFactory {
 public:
  DenseWeightFactory() : cpu_(make_cpu_weight_factory({})) {}
  std::unique_ptr<Linear> linear(const WeightSource& source, const std::string& name, int64_t out, int64_t in,
                                 bool bias) override;
  std::unique_ptr<Embedding> embedding(const WeightSource& source, const std::string& name, int64_t vocab,
                                       int64_t dim) override {
    return cpu_->embedding(source, name, vocab, dim);
  }
  std::unique_ptr<Vector> vector(const WeightSource& source, const std::string& name, int64_t dim) override {
    return cpu_->vector(source, name, dim);
  }

 private:
  std::unique_ptr<WeightFactory> cpu_;
};

/// The f32 weight [out, in] of a linear this factory made.
std::vector<float> weight_of(const Linear& linear);
/// Its bias [out] from the source; empty when there is none.
std::vector<float> bias_of(const WeightSource& source, const std::string& name);

}  // namespace paro::calib
