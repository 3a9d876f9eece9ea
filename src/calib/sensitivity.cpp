#include "calib/sensitivity.h"

#include <algorithm>

#include "base/error.h"
#include "base/progress.h"
#include "calib/dense_weights.h"
#include "calib/recording_ops.h"
#include "calib/streams.h"
#include "calib/verify.h"

namespace paro::calib {
namespace {

// Tokens for the second moments, and those of them that every probe runs. Short windows mislead: a window's first token
// has by far the largest activations, and the next ones attend to few others, so that errors of v do not average out.
constexpr int64_t kWindows = 8;
constexpr int64_t kWindowTokens = 2048;
constexpr int64_t kProbeWindows = 2;
constexpr int64_t kProbeTokens = 512;
// Positions whose logits are compared: of the second half every fourth.
constexpr int64_t kLogitStride = 4;

std::vector<int32_t> first_tokens(const std::vector<int32_t>& ids, int64_t seq_len, int64_t windows, int64_t tokens) {
  std::vector<int32_t> result;
  for (int64_t w = 0; w < windows; ++w)
    result.insert(result.end(), ids.begin() + w * seq_len, ids.begin() + w * seq_len + tokens);
  return result;
}

class Measurement {
 public:
  Measurement(const QuantizeOptions& options, const ModelConfig& config, const WeightSource& source, Device& device)
      : options_(options),
        config_(config),
        source_(source),
        device_(device),
        ends_(load_model_ends(config, source, device.factory())) {}

  /// Of all linears of layer `index`, whose inputs `streams` holds: moved through it.
  void layer(int64_t index, Streams& streams, const std::function<bool(const std::string&)>& wanted,
             std::vector<LinearSensitivity>& result, std::vector<Paro4Weight>& probes) const {
    const auto layer = load_layer(config_, index, *ends_->rope, source_, device_.factory());
    const std::vector<LinearSlot> slots = layer->linear_slots();
    std::map<int, const LinearSlot*> first;
    for (const LinearSlot& slot : slots) first.try_emplace(slot.set, &slot);
    std::vector<const Linear*> targets;
    std::vector<std::unique_ptr<MomentSums>> sums;
    std::map<int, size_t> sums_of;
    for (const auto& [set, slot] : first) {
      sums_of[set] = sums.size();
      targets.push_back(slot->weight->get());
      sums.push_back(device_.make_sums(targets.back()->in, 0));
    }
    RecordingOps recorder(device_.ops());
    streams.for_each([&](const Streams::Part& part) {
      recorder.watch(
          targets, [&] { layer->forward(recorder, part.quantized, part.batch); },
          [&](size_t set, Tensor x) { sums[set]->add(x.f32(), nullptr, x.rows); });
    });
    for (const auto& [set, at] : sums_of) {
      const bool any = std::any_of(slots.begin(), slots.end(),
                                   [&, s = set](const LinearSlot& slot) { return slot.set == s && wanted(slot.name); });
      if (!any) continue;
      const auto h = device_.second_moment(*sums[at], first[set]->name);
      for (const LinearSlot& slot : slots)
        if (slot.set == set && wanted(slot.name)) result.push_back(of_linear(slot, index, *h, probes));
    }
  }

  const Model& ends() const { return *ends_; }

 private:
  LinearSensitivity of_linear(const LinearSlot& slot, int64_t layer, const SecondMoment& h,
                              std::vector<Paro4Weight>& probes) const {
    const Linear& linear = **slot.weight;
    LinearSensitivity found;
    found.linear = {slot.name, layer, slot.set, linear.out, linear.in};
    const auto weight = device_.weight_of(linear);
    const auto rotation = identity_rotation(linear.in, options_.group_size);
    for (const int64_t bits : kAllocatedWidths) {
      if (linear.out % outputs_multiple(bits) != 0) continue;
      RoundOptions round;
      round.group_size = options_.group_size;
      round.levels = QuantizeOptions::levels(bits);
      round.clip = options_.clip;
      round.sweeps = 0;
      Rounded rounded = device_.round(*weight, *rotation, &h, round);
      found.relative[bits] = rounded.loss / std::max(rounded.reference, 1e-30);
      if (bits != kProbeBits) continue;
      Paro4Weight probe;
      probe.in = linear.in;
      probe.out = linear.out;
      probe.group_size = options_.group_size;
      probe.codes = std::move(rounded.codes);
      probe.zeros = std::move(rounded.zeros);
      probe.scales = std::move(rounded.scales);
      probe.rotation = rotation;
      probe.bias = bias_of(source_, slot.name);
      probes.push_back(std::move(probe));
    }
    return found;
  }

  const QuantizeOptions& options_;
  const ModelConfig& config_;
  const WeightSource& source_;
  Device& device_;
  std::unique_ptr<Model> ends_;
};

/// The model behind a layer's input, with one linear replaced.
class Probe {
 public:
  Probe(const ModelConfig& config, const WeightSource& source, const Model& ends, std::vector<int32_t> ids,
        int64_t seq_len, Device& device)
      : device_(device), ends_(ends), streams_(config, std::move(ids), seq_len, false, device) {
    for (int64_t i = 0; i < config.layers; ++i)
      layers_.push_back(load_layer(config, i, *ends.rope, source, device.factory()));
    streams_.embed(ends);
    for (const auto& layer : layers_) {
      states_.push_back(device.allocate(elements()));
      device.copy(streams_.quantized(0).f32(), elements(), states_.back().get());
      run(*layer);
    }
    expected_ = logits();
  }

  /// Mean KL of the logits, nats.
  double divergence(const LinearOutline& linear, const Paro4Weight& weight) {
    const auto index = static_cast<size_t>(linear.layer);
    device_.copy(states_[index].get(), elements(), streams_.quantized(0).f32());
    std::vector<LinearSlot> slots = layers_[index]->linear_slots();
    const auto slot = std::find_if(slots.begin(), slots.end(), [&](const auto& s) { return s.name == linear.name; });
    PARO_CHECK(slot != slots.end());
    std::unique_ptr<Linear> replaced = device_.make_linear(weight);
    std::swap(*slot->weight, replaced);
    run(*layers_[index]);
    std::swap(*slot->weight, replaced);
    for (size_t i = index + 1; i < layers_.size(); ++i) run(*layers_[i]);
    const std::vector<float> found = logits();
    return mean_divergence(expected_, found, std::ssize(found) / ends_.config.vocab_size);
  }

 private:
  int64_t elements() const { return streams_.rows() * streams_.dim(); }
  void run(const DecoderLayer& layer) {
    streams_.for_each([&](const Streams::Part& part) {
      const OpsScope scope(device_.ops());
      layer.forward(device_.ops(), part.quantized, part.batch);
    });
  }
  std::vector<float> logits() {
    std::vector<float> result;
    std::vector<int64_t> rows;
    for (int64_t row = streams_.seq_len() / 2; row < streams_.seq_len(); row += kLogitStride) rows.push_back(row);
    for (int64_t window = 0; window < streams_.rows() / streams_.seq_len(); ++window) {
      const OpsScope scope(device_.ops());
      const Tensor part = ends_.logits(device_.ops(), streams_.quantized(window), rows);
      const std::vector<float> values = device_.to_host(part.f32(), part.rows * part.dim);
      result.insert(result.end(), values.begin(), values.end());
    }
    return result;
  }

  Device& device_;
  const Model& ends_;
  Streams streams_;
  std::vector<std::unique_ptr<DecoderLayer>> layers_;
  std::vector<Values> states_;  // inputs of each layer
  std::vector<float> expected_;
};

}  // namespace

int64_t outputs_multiple(int64_t bits) { return bits == 4 || bits == 8 ? 8 : bits == 3 ? 32 : 16; }

std::vector<LinearSensitivity> measure_sensitivity(const QuantizeOptions& options, const ModelConfig& config,
                                                   const WeightSource& source, const std::vector<int32_t>& ids,
                                                   int64_t seq_len,
                                                   const std::function<bool(const std::string&)>& wanted,
                                                   Device& device, const std::function<void()>& check) {
  const int64_t tokens = std::min(seq_len, kWindowTokens);
  const auto windows = [&](int64_t most) { return std::min(most, std::ssize(ids) / seq_len); };
  const Measurement measurement(options, config, source, device);
  Streams streams(config, first_tokens(ids, seq_len, windows(kWindows), tokens), tokens, false, device);
  streams.embed(measurement.ends());
  std::vector<LinearSensitivity> result;
  std::vector<Paro4Weight> probes;
  Progress progress("measuring sensitivity", 2 * config.layers);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    check();
    measurement.layer(layer, streams, wanted, result, probes);
    progress.advance(1);
  }
  const int64_t probe_tokens = std::min(seq_len, kProbeTokens);
  Probe probe(config, source, measurement.ends(), first_tokens(ids, seq_len, windows(kProbeWindows), probe_tokens),
              probe_tokens, device);
  for (size_t i = 0; i < result.size(); ++i) {
    check();
    result[i].divergence = probe.divergence(result[i].linear, probes[i]);
    if (i + 1 == result.size() || result[i + 1].linear.layer != result[i].linear.layer) progress.advance(1);
  }
  return result;
}

std::map<int64_t, double> losses_of(const LinearSensitivity& linear) {
  std::map<int64_t, double> losses = linear.relative;
  const double at_probe = std::max(linear.relative.at(kProbeBits), 1e-30);
  for (auto& [bits, loss] : losses) loss *= std::max(linear.divergence, 0.0) / at_probe;
  return losses;
}

}  // namespace paro::calib
