#include "train/student.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "base/error.h"
#include "calib/set_quantizer.h"

namespace paro::train {
namespace {

// Smaller ranges than F16 can divide by are those of groups whose weights are all 0.
constexpr double kSmallestScale = 0x1p-24;

calib::PairRounds pairs_of(const PairRotation& stored) {
  calib::PairRounds pairs;
  pairs.in = stored.in;
  pairs.group_size = stored.group_size;
  pairs.rounds = stored.rounds;
  pairs.pairs = stored.pairs;
  for (int64_t k = 0; k < stored.rounds; ++k) {
    const auto begin = stored.theta.begin() + k * stored.in / 2;
    if (std::any_of(begin, begin + stored.in / 2, [](float t) { return t != 0.0f; })) pairs.used_rounds = k + 1;
  }
  return pairs;
}

}  // namespace

InputRotation::InputRotation(calib::PairRounds pairs, bool scaled, at::Device device)
    : pairs_(std::move(pairs)), scaled_(scaled) {
  const at::TensorOptions like = at::TensorOptions(device).dtype(at::kFloat);
  rounds_ = rotation_rounds(pairs_, like);
  theta_ = at::zeros({rounds_.rounds, rounds_.in / 2}, like);
  log_alpha_ = at::zeros({rounds_.in}, like);
  if (!pairs_.turning.empty()) {
    std::vector<float> turning(pairs_.turning.begin(), pairs_.turning.begin() + theta_.numel());
    turning_ = to_device(turning, theta_.sizes(), device);
  }
}

InputRotation::InputRotation(const PairRotation& stored, bool scaled, at::Device device)
    : InputRotation(pairs_of(stored), scaled, device) {
  const std::vector<float> used(stored.theta.begin(), stored.theta.begin() + theta_.numel());
  theta_ = to_device(used, theta_.sizes(), device);
  log_alpha_ = -to_device(stored.channel_scales, {stored.in}, device).log();
  scaled_ = scaled ||
            std::any_of(stored.channel_scales.begin(), stored.channel_scales.end(), [](float s) { return s != 1.0f; });
}

std::vector<at::Tensor> InputRotation::parameters() const {
  std::vector<at::Tensor> result;
  if (rounds_.rounds > 0) result.push_back(theta_);
  if (scaled_) result.push_back(log_alpha_);
  return result;
}

void InputRotation::prepare() {
  if (rounds_.rounds == 0) return;
  const int64_t g = rounds_.group_size;
  // Every group's unit vectors at once: row a of the result is where channel a of each group goes.
  const at::Tensor units = at::eye(g, theta_.options()).repeat({1, rounds_.in / g});
  const at::Tensor angles = turning_.defined() ? theta_ * turning_ : theta_;
  const at::Tensor turned = rotate_pairs(units, angles, at::ones({rounds_.in}, theta_.options()), rounds_);
  matrices_ = turned.view({g, rounds_.in / g, g}).transpose(0, 1);
}

at::Tensor InputRotation::turned(const at::Tensor& w, bool back) const {
  if (rounds_.rounds == 0) return w;
  const int64_t g = rounds_.group_size;
  const at::Tensor groups = w.view({w.size(0), -1, g}).transpose(0, 1);
  return at::bmm(groups, back ? matrices_.transpose(1, 2) : matrices_).transpose(0, 1).reshape(w.sizes());
}

at::Tensor InputRotation::to_rotated(const at::Tensor& w) const {
  return turned(scaled_ ? w * log_alpha_.exp() : w, false);
}

at::Tensor InputRotation::from_rotated(const at::Tensor& w) const {
  const at::Tensor own = turned(w, true);
  return scaled_ ? own * (-log_alpha_).exp() : own;
}

std::shared_ptr<const PairRotation> InputRotation::store() {
  const c10::NoGradGuard no_gradients;
  if (turning_.defined()) theta_.mul_(turning_);
  std::vector<float> theta = to_host(theta_);
  // The file's rounds that are not used.
  theta.resize(static_cast<size_t>(pairs_.rounds * pairs_.in / 2), 0.0f);
  auto stored = calib::stored_rotation(pairs_, theta, to_host((-log_alpha_).exp()));
  for (const std::vector<float>* values : {&stored->theta, &stored->channel_scales})
    for (const float value : *values)
      if (!std::isfinite(value))
        fail_input("training: an angle or channel scale is not finite or beyond F16; use a lower --rotation-rate");
  for (const float scale : stored->channel_scales)
    if (scale == 0.0f) fail_input("training: a channel scale vanishes in F16; use a lower --rotation-rate");
  const std::vector<float> used(stored->theta.begin(), stored->theta.begin() + theta_.numel());
  theta_.copy_(to_device(used, theta_.sizes(), theta_.device()));
  log_alpha_.copy_(-to_device(stored->channel_scales, {pairs_.in}, theta_.device()).log());
  return stored;
}

GroupRange group_range(const at::Tensor& w, int64_t group_size, double levels) {
  const at::Tensor groups = w.view({w.size(0), -1, group_size});
  const at::Tensor highest = groups.amax(2).clamp_min(0.0);
  const at::Tensor lowest = groups.amin(2).clamp_max(0.0);
  GroupRange range;
  range.scale = ((highest - lowest) / levels).clamp_min(kSmallestScale);
  range.zero = (-lowest.detach() / range.scale.detach()).round().clamp(0.0, levels);
  return range;
}

Paro4Weight round_to_codes(const std::string& name, const at::Tensor& w, const at::Tensor& scale,
                           const at::Tensor& zero, int64_t group_size, int64_t bits,
                           std::shared_ptr<const PairRotation> rotation, const at::Tensor& bias) {
  const c10::NoGradGuard no_gradients;
  const double levels = calib::QuantizeOptions::levels(bits);
  const at::Tensor s = scale.to(at::kHalf).to(at::kFloat).clamp_min(kSmallestScale);
  if (!w.isfinite().all().item<bool>() || !s.isfinite().all().item<bool>())
    fail_input("\"{}\": training gave weights or scales that are not finite or beyond F16; use lower rates", name);
  const at::Tensor z = zero.round().clamp(0.0, levels);
  const at::Tensor codes =
      ((w.view({w.size(0), -1, group_size}) / s.unsqueeze(2)).round() + z.unsqueeze(2)).clamp(0.0, levels);
  Paro4Weight result;
  result.out = w.size(0);
  result.in = w.size(1);
  result.group_size = group_size;
  result.bits = bits;
  result.scales = to_host(s);
  const std::vector<float> code_values = to_host(codes), zero_values = to_host(z);
  result.codes.assign(code_values.begin(), code_values.end());
  result.zeros.assign(zero_values.begin(), zero_values.end());
  result.rotation = std::move(rotation);
  if (bias.defined())
    for (const float b : to_host(bias)) result.bias.push_back(f16_to_f32(f32_to_f16(b)));
  return result;
}

at::Tensor stored_weight(const Paro4Weight& weight, at::Device device) {
  return to_device(dequantize_paro4(weight), {weight.out, weight.in}, device);
}

}  // namespace paro::train
