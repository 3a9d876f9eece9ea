#include "train/adamw.h"

#include <c10/core/GradMode.h>

#include <cmath>
#include <numbers>

namespace paro::train {

void AdamW::add(const std::vector<at::Tensor>& parameters, double rate) {
  for (at::Tensor parameter : parameters) {
    parameter.set_requires_grad(true);
    parameters_.push_back({parameter, at::zeros_like(parameter.detach()), at::zeros_like(parameter.detach()), rate});
  }
}

void AdamW::step(double progress) {
  const c10::NoGradGuard no_gradients;
  ++steps_;
  const double schedule =
      options_.final_rate + (1.0 - options_.final_rate) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  const double mean_scale = 1.0 / (1.0 - std::pow(options_.beta1, static_cast<double>(steps_)));
  const double square_scale = 1.0 / (1.0 - std::pow(options_.beta2, static_cast<double>(steps_)));
  for (Parameter& p : parameters_) {
    const at::Tensor gradient = p.value.grad();
    if (!gradient.defined()) continue;
    const double rate = p.rate * schedule;
    p.mean.mul_(options_.beta1).add_(gradient, 1.0 - options_.beta1);
    p.square.mul_(options_.beta2).addcmul_(gradient, gradient, 1.0 - options_.beta2);
    if (options_.decay > 0.0) p.value.mul_(1.0 - rate * options_.decay);
    p.value.addcdiv_(p.mean, (p.square * square_scale).sqrt_().add_(options_.epsilon), -rate * mean_scale);
  }
  drop_gradients();
}

void AdamW::drop_gradients() {
  for (Parameter& p : parameters_) p.value.mutable_grad() = at::Tensor();
}

std::vector<at::Tensor> AdamW::state() const {
  std::vector<at::Tensor> result;
  for (const Parameter& p : parameters_) result.push_back(p.value.detach().clone());
  return result;
}

void AdamW::restore(const std::vector<at::Tensor>& state) {
  const c10::NoGradGuard no_gradients;
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].value.copy_(state[i]);
}

bool AdamW::finite() const {
  for (const Parameter& p : parameters_)
    if (!p.value.detach().isfinite().all().item<bool>()) return false;
  return true;
}

}  // namespace paro::train
