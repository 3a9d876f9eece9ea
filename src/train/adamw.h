// AdamW over groups of tensors with their own learning rates, under one cosine schedule.
#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace paro::train {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-10;
  double decay = 0.0;        // weight decay, decoupled
  double final_rate = 0.05;  // of each learning rate, at the end of the cosine
};

class AdamW {
 public:
  explicit AdamW(const AdamWOptions& options) : options_(options) {}

  /// `parameters` become leaves that collect gradients.
  void add(const std::vector<at::Tensor>& parameters, double rate);
  /// One step with the gradients collected, which are then dropped; a tensor without one stays. `progress` 0 to 1: the
  /// share of the schedule behind this step.
  void step(double progress);
  void drop_gradients();

  /// All parameters' values, to come back to.
  std::vector<at::Tensor> state() const;
  void restore(const std::vector<at::Tensor>& state);
  /// False when a parameter is NaN or infinite.
  bool finite() const;

 private:
  struct Parameter {
    at::Tensor value, mean, square;
    double rate;
  };
  AdamWOptions options_;
  std::vector<Parameter> parameters_;
  int64_t steps_ = 0;
};

}  // namespace paro::train
