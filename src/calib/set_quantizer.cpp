#include "calib/set_quantizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/dtype.h"

namespace paro::calib {
namespace {

constexpr double kCorrectionDamping = 0.01;
// Of a linear that rounds to itself.
constexpr double kLeastLoss = 1e-300;

/// Inputs by falling energy, GPTQ's act-order: what matters most is rounded first, with all others left to make up.
std::vector<int32_t> by_energy(const SecondMoment& h) {
  std::vector<int32_t> order(static_cast<size_t>(h.n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return h.diagonal[static_cast<size_t>(a)] > h.diagonal[static_cast<size_t>(b)];
  });
  return order;
}

RoundOptions round_options(const QuantizeOptions& options, int64_t bits, bool clip) {
  RoundOptions result;
  result.group_size = options.group_size;
  result.levels = QuantizeOptions::levels(bits);
  result.sweeps = options.sweeps;
  result.clip = clip && options.clip;
  result.second_order = options.method != Method::kAwq;
  return result;
}

std::vector<int64_t> bits_of(const std::vector<SetMember>& members) {
  std::vector<int64_t> bits;
  for (const SetMember& member : members) bits.push_back(member.bits);
  return bits;
}

/// The set's losses from those of its linears.
void finish(QuantizedSet& set, SetMeter& meter) {
  set.measures = std::move(meter.measures);
  double energy = 1e-30;
  for (const LinearMeasures& linear : set.measures) {
    set.losses.rtn += linear.corrected;
    set.losses.rounded += linear.rounded;
    energy += linear.energy;
  }
  set.losses.rtn /= energy;
  set.losses.rounded /= energy;
}

std::vector<float> as_f16(std::vector<float> values) {
  for (float& value : values) value = f16_to_f32(f32_to_f16(value));
  return values;
}

}  // namespace

int64_t drop_lost_angles(std::vector<float>& theta) {
  int64_t lost = 0;
  for (float& angle : theta) {
    if (std::isfinite(angle)) continue;
    angle = 0.0f;
    ++lost;
  }
  return lost;
}

PairRounds choose_pairs(const QuantizeOptions& options, int64_t in, uint64_t stream,
                        const std::function<std::vector<float>()>& magnitudes) {
  std::vector<float> strength;
  if (options.pairs == PairKind::kMagnitude || options.pair_fraction < 1.0) strength = magnitudes();
  PairRounds pairs = options.pairs == PairKind::kMagnitude
                         ? make_magnitude_pairs(strength, options.group_size, options.rotations)
                         : make_pairs(options.pairs, in, options.group_size, options.rotations,
                                      options.seed * 0x9e3779b97f4a7c15ull + stream);
  if (options.pair_fraction < 1.0) keep_most_different(pairs, strength, options.pair_fraction);
  return pairs;
}

std::shared_ptr<const PairRotation> stored_rotation(const PairRounds& pairs, const std::vector<float>& theta,
                                                    const std::vector<float>& channel_scales) {
  auto rotation = std::make_shared<PairRotation>();
  rotation->in = pairs.in;
  rotation->group_size = pairs.group_size;
  rotation->rounds = pairs.rounds;
  rotation->pairs = pairs.pairs;
  rotation->theta = as_f16(theta);
  rotation->channel_scales =
      channel_scales.empty() ? std::vector<float>(static_cast<size_t>(pairs.in), 1.0f) : as_f16(channel_scales);
  return rotation;
}

QuantizedSet SetQuantizer::quantize(std::vector<SetMember> members, const MomentSums* sums, CrossMoment cross,
                                    uint64_t stream, bool online) const {
  QuantizedSet result;
  std::vector<WeightMatrix*> weights;
  for (SetMember& member : members) weights.push_back(member.weight.get());
  const std::vector<const WeightMatrix*> all(weights.begin(), weights.end());
  SetMeter meter(device_, options_, all, bits_of(members));
  meter.given();
  if (sums == nullptr) {
    const auto rotation = unrotated(members.front().weight->in);
    meter.corrected(nullptr, {});
    for (size_t i = 0; i < members.size(); ++i)
      result.weights.push_back(round(members[i], rotation, nullptr, i, meter));
    finish(result, meter);
    return result;
  }

  const std::unique_ptr<SecondMoment> h = device_.second_moment(*sums, members.front().name);
  device_.correct(weights, *sums, cross, *h, kCorrectionDamping, members.front().name);
  std::vector<double> nearest_losses;
  std::vector<double> fit_weights;
  for (const SetMember& member : members) {
    nearest_losses.push_back(device_.nearest_loss(*member.weight, *h, round_options(options_, member.bits, false)));
    // The fit counts every range in steps of --bits: relative to the loss at that width, and less by what finer steps
    // take off it, (steps / steps)^2 each.
    const double steps = options_.levels() / QuantizeOptions::levels(member.bits);
    fit_weights.push_back(std::pow(steps, 4.0) / std::max(nearest_losses.back(), kLeastLoss));
  }
  meter.corrected(h.get(), nearest_losses);

  if (options_.share_rotations || options_.rotations == 0 || !online) {
    const auto rotation = fit(all, fit_weights, *h, pairs_for(all, stream, online), result.losses);
    device_.rotate(*h, *rotation);
    for (size_t i = 0; i < members.size(); ++i)
      result.weights.push_back(round(members[i], rotation, h.get(), i, meter));
  } else {
    double fit_sum = 0.0;
    for (size_t i = 0; i < members.size(); ++i) {
      const WeightMatrix* const one[] = {weights[i]};
      const auto rotation =
          fit(one, std::span(fit_weights).subspan(i, 1), *h, pairs_for(one, stream, online), result.losses);
      fit_sum += result.losses.fit;
      const std::unique_ptr<SecondMoment> rotated = device_.copy_of(*h);
      device_.rotate(*rotated, *rotation);
      result.weights.push_back(round(members[i], rotation, rotated.get(), i, meter));
    }
    result.losses.fit = fit_sum / static_cast<double>(members.size());
  }
  finish(result, meter);
  return result;
}

PairRounds SetQuantizer::pairs_for(std::span<const WeightMatrix* const> weights, uint64_t stream, bool online) const {
  const int64_t in = weights.front()->in;
  if (!online) return idle_pairs(in, options_.group_size, options_.rotations);
  return choose_pairs(options_, in, stream, [&] {
    std::vector<float> magnitudes(static_cast<size_t>(in));
    for (const WeightMatrix* weight : weights) {
      const std::vector<float> of_one = device_.channel_magnitudes(*weight);
      for (size_t i = 0; i < magnitudes.size(); ++i) magnitudes[i] = std::max(magnitudes[i], of_one[i]);
    }
    return magnitudes;
  });
}

QuantizedSet SetQuantizer::quantize(std::vector<SetMember> members, const SecondMoment& h) const {
  QuantizedSet result;
  std::vector<const WeightMatrix*> all;
  std::vector<double> nearest_losses;
  for (const SetMember& member : members) {
    all.push_back(member.weight.get());
    nearest_losses.push_back(device_.nearest_loss(*member.weight, h, round_options(options_, member.bits, false)));
  }
  SetMeter meter(device_, options_, all, bits_of(members));
  meter.given();
  meter.corrected(&h, nearest_losses);
  const auto rotation = unrotated(h.n);
  for (size_t i = 0; i < members.size(); ++i) result.weights.push_back(round(members[i], rotation, &h, i, meter));
  finish(result, meter);
  return result;
}

std::shared_ptr<const PairRotation> SetQuantizer::unrotated(int64_t in) const {
  return stored_rotation(idle_pairs(in, options_.group_size, 0), std::vector<float>(static_cast<size_t>(in / 2), 0.0f));
}

std::shared_ptr<const PairRotation> SetQuantizer::fit(std::span<const WeightMatrix* const> weights,
                                                      std::span<const double> weight_factors, const SecondMoment& h,
                                                      const PairRounds& pairs, SetLosses& losses) const {
  if (pairs.used_rounds == 0) {
    losses.fit = 1.0;
    return stored_rotation(pairs, std::vector<float>(static_cast<size_t>(pairs.rounds * h.n / 2), 0.0f));
  }
  SharedFit problem;
  problem.weights = weights;
  // Both sides on the scale of H / mean(diag H): the loss is then of order one whatever the activations are.
  const double mean =
      std::max(std::accumulate(h.diagonal.begin(), h.diagonal.end(), 0.0) / static_cast<double>(h.n), 1e-30);
  for (const double factor : weight_factors)
    problem.row_weight.push_back(static_cast<float>(std::min(factor * mean, 1e20)));
  for (auto group = h.diagonal.begin(); group != h.diagonal.end(); group += options_.group_size)
    problem.group_energy.push_back(std::accumulate(group, group + options_.group_size, 0.0) / mean);
  FitResult result = device_.fit(problem, pairs, {.levels = options_.levels()});
  losses.lost_angles += drop_lost_angles(result.theta);
  losses.fit = result.loss_before > 0.0 ? result.loss_after / result.loss_before : 1.0;
  return stored_rotation(pairs, result.theta);
}

Paro4Weight SetQuantizer::round(const SetMember& member, std::shared_ptr<const PairRotation> rotation,
                                const SecondMoment* h, size_t i, SetMeter& meter) const {
  RoundOptions round = round_options(options_, member.bits, h != nullptr);
  std::vector<int32_t> order;
  if (options_.act_order) order = by_energy(*h);
  round.order = order;
  Rounded rounded = device_.round(*member.weight, *rotation, h, round);
  Paro4Weight weight;
  weight.in = rotation->in;
  weight.out = member.weight->out;
  weight.group_size = options_.group_size;
  weight.bits = member.bits;
  weight.codes = std::move(rounded.codes);
  weight.zeros = std::move(rounded.zeros);
  weight.scales = std::move(rounded.scales);
  weight.rotation = std::move(rotation);
  weight.order = std::move(order);
  // As it is stored: a resumed run reads it back.
  for (const float b : member.bias) weight.bias.push_back(f16_to_f32(f32_to_f16(b)));
  meter.written(i, h, weight, rounded.loss, rounded.reference);
  return weight;
}

}  // namespace paro::calib
