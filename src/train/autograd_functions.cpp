#include "train/autograd_functions.h"

#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "base/error.h"

namespace paro::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// y_c = x_c cos + x_partner sin sign, for one round; `turn` +1 or, to undo it, -1.
at::Tensor one_round(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine, const at::Tensor& partner,
                     double turn) {
  return x * cosine + x.index_select(1, partner) * (sine * turn);
}

struct Round {
  at::Tensor cosine, sine, partner;  // [in]
};

Round round_of(const at::Tensor& theta, const at::Tensor& partner, const at::Tensor& angle, const at::Tensor& sign,
               int64_t k) {
  const at::Tensor angles = theta[k].index_select(0, angle[k]);
  return {angles.cos(), angles.sin() * sign[k], partner[k]};
}

struct RotatePairs : torch::autograd::Function<RotatePairs> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& theta,
                            const at::Tensor& scales, const at::Tensor& partner, const at::Tensor& angle,
                            const at::Tensor& sign, const at::Tensor& first, const at::Tensor& second) {
    at::Tensor y = x * scales;
    for (int64_t k = 0; k < partner.size(0); ++k) {
      const Round r = round_of(theta, partner, angle, sign, k);
      y = one_round(y, r.cosine, r.sine, r.partner, 1.0);
    }
    context->save_for_backward({x, theta, scales, partner, angle, sign, first, second, y});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &theta = saved[1], &scales = saved[2], &partner = saved[3], &angle = saved[4],
                     &sign = saved[5], &first = saved[6], &second = saved[7];
    at::Tensor y = saved[8];
    at::Tensor g = gradients[0];
    std::vector<at::Tensor> of_angles(static_cast<size_t>(partner.size(0)));
    for (int64_t k = partner.size(0) - 1; k >= 0; --k) {
      const Round r = round_of(theta, partner, angle, sign, k);
      // Of a channel c: g_c y_partner, signed; of a pair: that of its two channels.
      const at::Tensor by_channel = (g * y.index_select(1, r.partner)).sum(0) * sign[k];
      of_angles[static_cast<size_t>(k)] = by_channel.index_select(0, first[k]) + by_channel.index_select(0, second[k]);
      y = one_round(y, r.cosine, r.sine, r.partner, -1.0);
      g = one_round(g, r.cosine, r.sine, r.partner, -1.0);
    }
    at::Tensor of_theta = of_angles.empty() ? at::zeros_like(theta) : at::stack(of_angles);
    return {g * scales, of_theta, (g * x).sum(0), {}, {}, {}, {}, {}};
  }
};

at::Tensor grouped(const at::Tensor& w, const at::Tensor& scale) { return w.view({w.size(0), scale.size(1), -1}); }

struct FakeQuantize : torch::autograd::Function<FakeQuantize> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& w, const at::Tensor& scale,
                            const at::Tensor& zero, double levels, bool passes) {
    context->save_for_backward({w, scale, zero});
    context->saved_data["levels"] = levels;
    context->saved_data["passes"] = passes;
    const at::Tensor s = scale.unsqueeze(2);
    const at::Tensor z = zero.round().clamp(0.0, levels).unsqueeze(2);
    const at::Tensor q = (grouped(w, scale) / s).round_().add_(z).clamp_(0.0, levels);
    return q.sub_(z).mul_(s).view_as(w);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &w = saved[0], &scale = saved[1], &zero = saved[2];
    const double levels = context->saved_data["levels"].toDouble();
    const bool passes = context->saved_data["passes"].toBool();
    const at::Tensor s = scale.unsqueeze(2);
    const at::Tensor z = zero.round().clamp(0.0, levels).unsqueeze(2);
    const at::Tensor u = grouped(w, scale) / s;
    const at::Tensor code = u.round().add_(z);
    const at::Tensor g = gradients[0].contiguous().view_as(u);
    const at::Tensor difference = code.clamp(0.0, levels).sub_(z);
    if (passes) return {gradients[0], (g * (difference - u)).sum(2), {}, {}, {}};
    const at::Tensor inside = at::logical_and(code.ge(0.0), code.le(levels)).to(u.scalar_type());
    const at::Tensor inner = g * inside;
    const at::Tensor of_scale = (g * difference - inner * u).sum(2);
    const at::Tensor of_zero = (inner - g).sum(2) * scale;
    return {inner.view_as(w), of_scale, of_zero, {}, {}};
  }
};

struct ScaledCodes : torch::autograd::Function<ScaledCodes> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& codes, const at::Tensor& scale) {
    context->save_for_backward({codes});
    context->saved_data["groups"] = scale.size(1);
    return (grouped(codes, scale).to(scale.scalar_type()) * scale.unsqueeze(2)).view_as(codes);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor codes = context->get_saved_variables()[0];
    const at::Tensor& g = gradients[0];
    const std::vector<int64_t> shape = {codes.size(0), context->saved_data["groups"].toInt(), -1};
    return {{}, (g.contiguous().view(shape) * codes.view(shape)).sum(2)};
  }
};

}  // namespace

RotationRounds rotation_rounds(const calib::PairRounds& pairs, const at::TensorOptions& like) {
  RotationRounds result;
  result.in = pairs.in;
  result.group_size = pairs.group_size;
  result.rounds = pairs.used_rounds;
  const auto count = static_cast<size_t>(result.rounds * result.in);
  std::vector<int64_t> partner(count), angle(count), first(count / 2), second(count / 2);
  std::vector<double> sign(count);
  for (int64_t k = 0; k < result.rounds; ++k)
    for (int64_t t = 0; t < result.in / 2; ++t) {
      const int64_t begin = 2 * t / result.group_size * result.group_size;
      const int64_t i = begin + pairs.pairs[static_cast<size_t>(k * result.in + 2 * t)];
      const int64_t j = begin + pairs.pairs[static_cast<size_t>(k * result.in + 2 * t + 1)];
      const auto at_i = static_cast<size_t>(k * result.in + i), at_j = static_cast<size_t>(k * result.in + j);
      partner[at_i] = j;
      partner[at_j] = i;
      angle[at_i] = angle[at_j] = t;
      sign[at_i] = 1.0;
      sign[at_j] = -1.0;
      first[static_cast<size_t>(k * result.in / 2 + t)] = i;
      second[static_cast<size_t>(k * result.in / 2 + t)] = j;
    }
  const auto indices = [&](const std::vector<int64_t>& values, int64_t width) {
    return at::tensor(values, at::kLong).view({result.rounds, width}).to(like.device());
  };
  result.partner = indices(partner, result.in);
  result.angle = indices(angle, result.in);
  result.sign = at::tensor(sign, at::kDouble).view({result.rounds, result.in}).to(like);
  result.first = indices(first, result.in / 2);
  result.second = indices(second, result.in / 2);
  return result;
}

at::Tensor rotate_pairs(const at::Tensor& x, const at::Tensor& theta, const at::Tensor& scales,
                        const RotationRounds& rounds) {
  PARO_CHECK(x.dim() == 2 && x.size(1) == rounds.in && theta.size(0) == rounds.rounds);
  return RotatePairs::apply(x, theta, scales, rounds.partner, rounds.angle, rounds.sign, rounds.first, rounds.second);
}

at::Tensor fake_quantize(const at::Tensor& w, const at::Tensor& scale, const at::Tensor& zero, double levels,
                         ClampGradient clamp) {
  PARO_CHECK(w.dim() == 2 && scale.dim() == 2 && zero.sizes() == scale.sizes() && w.size(1) % scale.size(1) == 0);
  return FakeQuantize::apply(w.contiguous(), scale, zero, levels, clamp == ClampGradient::kPassThrough);
}

at::Tensor scaled_codes(const at::Tensor& codes, const at::Tensor& scale) {
  PARO_CHECK(codes.dim() == 2 && scale.dim() == 2 && codes.size(0) == scale.size(0));
  return ScaledCodes::apply(codes, scale);
}

}  // namespace paro::train
