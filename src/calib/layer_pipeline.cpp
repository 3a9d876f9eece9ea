#include "calib/layer_pipeline.h"

#include <algorithm>

#include "base/error.h"
#include "calib/dense_weights.h"
#include "calib/recording_ops.h"
#include "calib/stream_quality.h"
#include "calib/verify.h"

namespace paro::calib {

struct LayerPipeline::Layers {
  std::unique_ptr<ReplacedSource> source;  // what both were loaded from
  std::unique_ptr<DecoderLayer> full;
  std::unique_ptr<DecoderLayer> quantized;
  std::vector<LinearSlot> slots;  // of `quantized`
  std::vector<AwqSet> awq;        // by set; empty for other methods

  const Linear& first_of(int set) const {
    for (const LinearSlot& slot : slots)
      if (slot.set == set) return **slot.weight;
    PARO_CHECK(!"every set has a linear");
    return *slots.front().weight->get();
  }
};

namespace {

/// Of tensors, those that are neither the weight nor the bias of a linear with codes.
std::vector<ReplacedTensor> not_quantized(std::vector<ReplacedTensor> tensors,
                                          const std::function<bool(const std::string&)>& has_codes) {
  std::erase_if(tensors, [&](const ReplacedTensor& t) { return has_codes(t.name.substr(0, t.name.rfind('.'))); });
  return tensors;
}

}  // namespace

LayerPipeline::LayerPipeline(const QuantizeOptions& options, const LinearBits& bits, const ModelConfig& config,
                             const WeightSource& source, EndTables& tables, Device& device, Streams streams,
                             std::vector<bool> online)
    : options_(options),
      bits_(bits),
      config_(config),
      source_(source),
      device_(device),
      ops_(device.ops()),
      tables_(tables),
      ends_(load_model_ends(config, tables.source(), device.factory())),
      streams_(std::move(streams)),
      quantizer_(options, device),
      online_(std::move(online)) {
  if (tables.empty())
    streams_.embed(*ends_);
  else
    streams_.embed(*ends_, load_model_ends(config, source, device.factory()).get());
}

void LayerPipeline::finish() {
  if (tables_.round_head(*ends_, streams_, device_))
    ends_ = load_model_ends(config_, tables_.source(), device_.factory());
}

std::vector<float> LayerPipeline::logits(int64_t tokens) {
  return stream_logits(*ends_, device_, streams_, streams_.fitted() - 1, tokens);
}

Json LayerPipeline::quality() { return stream_quality(*ends_, device_, streams_); }

void LayerPipeline::check_cancel() const {
  if (options_.cancel != nullptr && options_.cancel->load()) throw Cancelled{};
}

LayerPipeline::Layers LayerPipeline::load(int64_t index, std::vector<ReplacedTensor> replaced) const {
  Layers layers;
  layers.source = std::make_unique<ReplacedSource>(source_, std::move(replaced));
  if (streams_.has_full()) layers.full = load_layer(config_, index, *ends_->rope, *layers.source, device_.factory());
  layers.quantized = load_layer(config_, index, *ends_->rope, *layers.source, device_.factory());
  layers.slots = layers.quantized->linear_slots();
  return layers;
}

QuantizedLayer LayerPipeline::quantize(int64_t index) {
  QuantizedLayer result;
  Layers layers = load(index, {});
  if (options_.method == Method::kAwq) {
    const auto skipped = [this](const std::string& name) { return bits_.skipped(name); };
    AwqLayer awq =
        AwqScaler(options_, device_).scale(*layers.quantized, source_, streams_, skipped, [this] { check_cancel(); });
    layers = load(index, awq.tensors);
    layers.awq = std::move(awq.sets);
    result.replaced = not_quantized(std::move(awq.tensors), [&](const std::string& name) {
      return !bits_.skipped(name) && std::any_of(layers.slots.begin(), layers.slots.end(),
                                                 [&](const LinearSlot& slot) { return slot.name == name; });
    });
  }
  for (const LinearSlot& slot : layers.slots)
    if (bits_.skipped(slot.name)) result.kept.push_back(slot.name);
  for (const Block& block : kLayerBlocks) {
    quantize_inputs(layers, block, index, result);
    quantize_outputs(layers, block, index, result);
  }
  result.errors = stream_errors(device_, streams_);
  return result;
}

void LayerPipeline::replay(int64_t index, const QuantizedLayer& layer) {
  Layers layers = load(index, layer.replaced);
  for (const Block& block : kLayerBlocks) {
    install(layers.slots, block.first_set, layer.weights);
    advance_to_last(layers, block, nullptr);
    install(layers.slots, block.first_set + 1, layer.weights);
    advance_last(layers, block);
  }
}

void LayerPipeline::quantize_inputs(Layers& layers, const Block& block, int64_t index, QuantizedLayer& result) {
  const int set = block.first_set;
  std::vector<SetMember> wanted = members(layers, set);
  if (wanted.empty()) return;
  const uint64_t stream = static_cast<uint64_t>(index * 4 + set);
  if (!options_.collects_by_set()) {
    finish_set(layers, set, std::move(wanted), nullptr, CrossMoment::kNone, stream, result);
    return;
  }
  const bool corrected = options_.corrected();
  const Linear& target = layers.first_of(set);
  const auto sums = device_.make_sums(target.in, corrected ? target.in : 0);
  RecordingOps recorder(ops_);
  std::vector<LinearSlot> full_slots;
  if (corrected) full_slots = layers.full->linear_slots();
  Values full_input;
  if (corrected) full_input = device_.allocate(streams_.rows_of_part() * target.in);
  streams_.for_each([&](const Streams::Part& part) {
    if (part.held_out) return;
    check_cancel();
    if (corrected) {
      const auto same_set = std::find_if(full_slots.begin(), full_slots.end(), [&](auto& s) { return s.set == set; });
      recorder.capture(
          **same_set->weight, [&] { (layers.full.get()->*block.run)(recorder, part.full, part.batch); },
          [&](Tensor x) { device_.copy(x.f32(), x.rows * x.dim, full_input.get()); });
    }
    recorder.capture(
        target, [&] { (layers.quantized.get()->*block.run)(recorder, part.quantized, part.batch); },
        [&](Tensor x) { sums->add(x.f32(), full_input.get(), x.rows); });
  });
  check_cancel();
  device_.complete(*sums);
  finish_set(layers, set, std::move(wanted), sums.get(), corrected ? CrossMoment::kInputs : CrossMoment::kNone, stream,
             result);
}

void LayerPipeline::quantize_outputs(Layers& layers, const Block& block, int64_t index, QuantizedLayer& result) {
  const int set = block.first_set + 1;
  std::vector<SetMember> wanted = members(layers, set);
  const uint64_t stream = static_cast<uint64_t>(index * 4 + set);
  if (wanted.empty() || !options_.collects_by_set()) {
    advance_to_last(layers, block, nullptr);
    if (!wanted.empty()) finish_set(layers, set, std::move(wanted), nullptr, CrossMoment::kNone, stream, result);
  } else {
    const bool corrected = options_.corrected();
    const Linear& last = layers.first_of(set);
    const auto sums = device_.make_sums(last.in, corrected ? last.out : 0);
    advance_to_last(layers, block, sums.get());
    device_.complete(*sums);
    finish_set(layers, set, std::move(wanted), sums.get(), corrected ? CrossMoment::kOutputs : CrossMoment::kNone,
               stream, result);
  }
  advance_last(layers, block);
}

void LayerPipeline::advance_to_last(Layers& layers, const Block& block, MomentSums* sums) {
  const Linear& last = layers.first_of(block.first_set + 1);
  kept_.reset();
  // Kept inputs may take a share of the memory; beyond that they are computed again.
  const bool keep = device_.can_keep(streams_.rows() * last.in * static_cast<int64_t>(sizeof(float)));
  if (keep) kept_ = device_.allocate(streams_.rows() * last.in);
  RecordingOps recorder(ops_);
  const std::vector<float> bias = bias_of(*layers.source, last.name);
  Values wanted;
  if (streams_.has_full()) wanted = device_.allocate(streams_.rows_of_part() * streams_.dim());
  streams_.for_each([&](const Streams::Part& part) {
    check_cancel();
    if (streams_.has_full()) {
      // The wanted product W x: what the full-precision stream has behind the block, without the residual it is added
      // to and without the bias.
      const Tensor residual = options_.correction == Correction::kFull ? part.quantized : part.full;
      device_.copy(residual.f32(), residual.rows * residual.dim, wanted.get());
      (layers.full.get()->*block.run)(ops_, part.full, part.batch);
      device_.subtract_from(part.full, wanted.get(), bias);
    }
    if (!keep && (sums == nullptr || part.held_out)) return;
    recorder.capture(
        last, [&] { (layers.quantized.get()->*block.run)(recorder, part.quantized, part.batch); },
        [&](Tensor x) {
          if (keep) device_.copy(x.f32(), x.rows * x.dim, kept_.get() + part.first_row * x.dim);
          if (sums != nullptr && !part.held_out)
            sums->add(x.f32(), sums->cross_rows > 0 ? wanted.get() : nullptr, x.rows);
        });
  });
  check_cancel();
}

void LayerPipeline::advance_last(Layers& layers, const Block& block) {
  const Linear& last = layers.first_of(block.first_set + 1);
  RecordingOps recorder(ops_);
  streams_.for_each([&](const Streams::Part& part) {
    const auto add_output = [&](Tensor x) {
      const OpsScope scope(ops_);
      ops_.add(part.quantized, ops_.linear(x, last));
    };
    if (kept_) {
      add_output({kept_.get() + part.first_row * last.in, part.quantized.rows, last.in});
    } else {
      recorder.capture(
          last, [&] { (layers.quantized.get()->*block.run)(recorder, part.quantized, part.batch); }, add_output);
    }
  });
}

std::vector<SetMember> LayerPipeline::members(const Layers& layers, int set) const {
  std::vector<SetMember> result;
  for (const LinearSlot& slot : layers.slots) {
    if (slot.set != set || bits_.skipped(slot.name)) continue;
    result.push_back(
        {slot.name, device_.weight_of(**slot.weight), bias_of(*layers.source, slot.name), bits_(slot.name)});
  }
  return result;
}

void LayerPipeline::finish_set(Layers& layers, int set, std::vector<SetMember> members, const MomentSums* sums,
                               CrossMoment cross, uint64_t stream, QuantizedLayer& result) {
  SetReport report;
  for (const SetMember& member : members) report.linears.push_back(member.name);
  QuantizedSet quantized =
      layers.awq.empty()
          ? quantizer_.quantize(std::move(members), sums, cross, stream, online_.at(static_cast<size_t>(set)))
          : quantizer_.quantize(std::move(members), *layers.awq[static_cast<size_t>(set)].h);
  report.losses = quantized.losses;
  if (!layers.awq.empty()) report.losses.fit = layers.awq[static_cast<size_t>(set)].loss_ratio;
  report.measures = std::move(quantized.measures);
  std::vector<NamedWeight> weights;
  for (size_t i = 0; i < quantized.weights.size(); ++i)
    weights.push_back({report.linears[i], std::move(quantized.weights[i])});
  install(layers.slots, set, weights);
  std::move(weights.begin(), weights.end(), std::back_inserter(result.weights));
  result.sets.push_back(std::move(report));
}

void LayerPipeline::install(std::vector<LinearSlot>& slots, int set, const std::vector<NamedWeight>& weights) const {
  for (LinearSlot& slot : slots) {
    if (slot.set != set) continue;
    for (const NamedWeight& named : weights)
      if (named.name == slot.name) *slot.weight = device_.make_linear(named.weight);
  }
}

}  // namespace paro::calib
