#include "calib/awq.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "calib/recording_ops.h"

namespace paro::calib {
namespace {

constexpr int kGrid = 20;
// Channels quieter than that part of the loudest count as that loud: a channel that the text never excites would
// otherwise get a scale that nothing speaks for.
constexpr double kQuietest = 1e-4;

/// s for one exponent: [channels of what makes the input].
std::vector<float> scales_of(const std::vector<double>& magnitude, double exponent) {
  const double loudest = *std::max_element(magnitude.begin(), magnitude.end());
  std::vector<double> s(magnitude.size(), 1.0);
  if (loudest > 0.0)
    for (size_t c = 0; c < s.size(); ++c) s[c] = std::pow(std::max(magnitude[c], kQuietest * loudest), exponent);
  const auto [low, high] = std::minmax_element(s.begin(), s.end());
  const double middle = std::sqrt(*low * *high);
  std::vector<float> result(s.size());
  std::transform(s.begin(), s.end(), result.begin(), [middle](double v) { return static_cast<float>(v / middle); });
  return result;
}

}  // namespace

/// The layer's tensors as they are being changed.
struct AwqScaler::Change {
  const WeightSource& source;
  std::map<std::string, ReplacedTensor> tensors;

  ReplacedTensor& at(const std::string& name) {
    auto it = tensors.find(name);
    if (it == tensors.end()) it = tensors.emplace(name, load_replaced(source, name)).first;
    return it->second;
  }
  /// norm / s, rounded to F16, and into `s` the scale that it then stands for; false when F16 cannot hold it.
  static bool divide_norm(std::vector<float>& norm, std::vector<float>& s) {
    for (size_t c = 0; c < norm.size(); ++c) {
      if (norm[c] == 0.0f) {
        s[c] = 1.0f;
        continue;
      }
      const float divided = f16_to_f32(f32_to_f16(norm[c] / s[c]));
      if (divided == 0.0f || !std::isfinite(divided)) return false;
      s[c] = norm[c] / divided;
      norm[c] = divided;
    }
    return true;
  }
  /// Output c of the linear, with its bias, over s[c].
  void divide_rows(const std::string& linear, const std::vector<float>& s) {
    std::vector<float>& weight = at(linear + ".weight").values;
    const size_t in = weight.size() / s.size();
    for (size_t at = 0; at < weight.size(); ++at) weight[at] /= s[at / in];
    if (!source.has(linear + ".bias")) return;
    std::vector<float>& bias = at(linear + ".bias").values;
    for (size_t c = 0; c < s.size(); ++c) bias[c] /= s[c];
  }
};

AwqLayer AwqScaler::scale(DecoderLayer& layer, const WeightSource& source, Streams& streams,
                          const std::function<bool(const std::string&)>& skipped,
                          const std::function<void()>& check) const {
  const std::vector<LinearSlot> slots = layer.linear_slots();
  std::vector<std::vector<const LinearSlot*>> sets;
  for (const LinearSlot& slot : slots) {
    if (static_cast<size_t>(slot.set) >= sets.size()) sets.resize(static_cast<size_t>(slot.set) + 1);
    sets[static_cast<size_t>(slot.set)].push_back(&slot);
  }
  std::vector<const Linear*> firsts;
  std::vector<std::unique_ptr<MomentSums>> sums;
  std::vector<std::vector<double>> magnitudes;  // sums of |x|, [in]
  for (const auto& set : sets) {
    const Linear& first = **set.front()->weight;
    firsts.push_back(&first);
    sums.push_back(device_.make_sums(first.in, 0));
    magnitudes.emplace_back(static_cast<size_t>(first.in));
  }
  RecordingOps recorder(device_.ops());
  const Values rows = device_.allocate(streams.rows_of_part() * streams.dim());
  streams.for_each([&](const Streams::Part& part) {
    if (part.held_out) return;
    check();
    const Tensor x = {rows.get(), part.quantized.rows, part.quantized.dim};
    device_.copy(part.quantized.f32(), x.rows * x.dim, rows.get());
    recorder.watch(
        firsts, [&] { layer.forward(recorder, x, part.batch); },
        [&](size_t set, Tensor input) {
          sums[set]->add(input.f32(), nullptr, input.rows);
          const std::vector<float> values = device_.to_host(input.f32(), input.rows * input.dim);
          double* magnitude = magnitudes[set].data();
          for (int64_t row = 0; row < input.rows; ++row)
            for (int64_t i = 0; i < input.dim; ++i)
              magnitude[i] += std::abs(static_cast<double>(values[static_cast<size_t>(row * input.dim + i)]));
        });
  });

  AwqLayer result;
  Change change{source, {}};
  for (size_t set = 0; set < sets.size(); ++set) {
    check();
    result.sets.emplace_back();
    if (std::all_of(sets[set].begin(), sets[set].end(), [&](const LinearSlot* slot) { return skipped(slot->name); }))
      continue;
    result.sets[set].h = device_.second_moment(*sums[set], sets[set].front()->name);
    sums[set].reset();
    scale_set(sets[set], magnitudes[set], result.sets[set], change, skipped);
  }
  for (auto& [name, tensor] : change.tensors) {
    const auto is_of = [&, &n = name](const LinearSlot& slot) {
      return n == slot.name + ".weight" && !skipped(slot.name);
    };
    if (std::none_of(slots.begin(), slots.end(), is_of)) round_to_f16(tensor, source);
    result.tensors.push_back(std::move(tensor));
  }
  return result;
}

void AwqScaler::scale_set(const std::vector<const LinearSlot*>& slots, const std::vector<double>& magnitude,
                          AwqSet& set, Change& change, const std::function<bool(const std::string&)>& skipped) const {
  const InputSource& source = slots.front()->source;
  const auto in = static_cast<int64_t>(magnitude.size());
  // By the channel that makes an input: the mean over those that share it.
  const int64_t channels = source.channel(in - 1) + 1;
  std::vector<double> made(static_cast<size_t>(channels));
  for (int64_t i = 0; i < in; ++i)
    made[static_cast<size_t>(source.channel(i))] +=
        magnitude[static_cast<size_t>(i)] * static_cast<double>(channels) / static_cast<double>(in);
  const auto at_inputs = [&](const std::vector<float>& s) {
    std::vector<float> result(static_cast<size_t>(in));
    for (int64_t i = 0; i < in; ++i) result[static_cast<size_t>(i)] = s[static_cast<size_t>(source.channel(i))];
    return result;
  };

  std::vector<std::unique_ptr<WeightMatrix>> weights;
  for (const LinearSlot* slot : slots)
    if (!skipped(slot->name)) weights.push_back(device_.weight_of(**slot->weight));
  const std::vector<float> norm = source.norm ? change.at(source.name + ".weight").values : std::vector<float>();
  RoundOptions options;
  options.group_size = options_.group_size;
  options.levels = options_.levels();
  std::vector<float> best_scales(static_cast<size_t>(channels), 1.0f);
  std::vector<float> best_norm = norm;
  double plain = 0.0;
  double best = 0.0;
  for (int step = 0; step < kGrid; ++step) {
    std::vector<float> s = scales_of(made, static_cast<double>(step) / kGrid);
    std::vector<float> divided = norm;
    if (source.norm && !Change::divide_norm(divided, s)) continue;
    const std::vector<float> scales = at_inputs(s);
    double loss = 0.0;
    for (const auto& weight : weights) loss += device_.nearest_loss(*weight, *set.h, options, scales);
    if (step == 0) plain = best = loss;
    if (!(loss < best) && step > 0) continue;
    best = loss;
    best_scales = std::move(s);
    best_norm = std::move(divided);
  }
  set.loss_ratio = plain > 0.0 ? best / plain : 1.0;
  const std::vector<float> scales = at_inputs(best_scales);
  if (source.norm)
    change.at(source.name + ".weight").values = best_norm;
  else
    change.divide_rows(source.name, best_scales);
  for (const LinearSlot* slot : slots) {
    std::vector<float>& w = change.at(slot->name + ".weight").values;
    for (size_t k = 0; k < w.size(); ++k) w[k] *= scales[k % scales.size()];
  }
  PairRotation divided = *identity_rotation(in, options_.group_size);
  std::transform(scales.begin(), scales.end(), divided.channel_scales.begin(), [](float s) { return 1.0f / s; });
  device_.rotate(*set.h, divided);
}

}  // namespace paro::calib
