#include "calib/layer_pipeline.h"

#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "calib/recording_ops.h"

namespace paro::calib {

/// The two halves of a layer; sets first_set (inputs) and first_set + 1 (the output linear).
struct LayerPipeline::Block {
  int first_set;
  void (DecoderLayer::*run)(Ops&, Tensor, const Batch&) const;
};

struct LayerPipeline::Layers {
  std::unique_ptr<DecoderLayer> full;
  std::unique_ptr<DecoderLayer> quantized;
  std::vector<LinearSlot> slots;  // of `quantized`

  const Linear& first_of(int set) const {
    for (const LinearSlot& slot : slots)
      if (slot.set == set) return **slot.weight;
    PARO_CHECK(!"every set has a linear");
    return *slots.front().weight->get();
  }
};

namespace {

// Rows of hidden states that one thread copies at a time.
constexpr int64_t kCopiedRows = 32;

// Kept inputs may take a third of the memory; beyond that they are computed again.
bool fits_into_memory(int64_t bytes) {
  return bytes < static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE) / 3;
}

}  // namespace

LayerPipeline::LayerPipeline(const QuantizeOptions& options, const ModelConfig& config, const WeightSource& source,
                             const Rope& rope, Ops& ops, Streams& streams)
    : options_(options),
      config_(config),
      source_(source),
      rope_(rope),
      ops_(ops),
      streams_(streams),
      pool_(thread_pool_of(ops)),
      quantizer_(options, pool_) {
  for (const std::string& pattern : options.skip) {
    try {
      skip_.emplace_back(pattern);
    } catch (const std::regex_error& error) {
      fail_usage("--skip '{}': not a regular expression: {}", pattern, error.what());
    }
  }
}

bool LayerPipeline::skipped(const std::string& name) const {
  return std::any_of(skip_.begin(), skip_.end(), [&](const std::regex& e) { return std::regex_search(name, e); });
}

void LayerPipeline::check_cancel() const {
  if (options_.cancel != nullptr && options_.cancel->load()) throw Cancelled{};
}

void LayerPipeline::copy_rows(Tensor from, float* to) const {
  pool_.parallel_for(from.rows, kCopiedRows, [&](int64_t begin, int64_t end) {
    std::copy(from.f32() + begin * from.dim, from.f32() + end * from.dim, to + begin * from.dim);
  });
}

LayerPipeline::Layers LayerPipeline::load(int64_t index) const {
  Layers layers;
  if (streams_.has_full()) layers.full = load_layer(config_, index, rope_, source_, factory_);
  layers.quantized = load_layer(config_, index, rope_, source_, factory_);
  layers.slots = layers.quantized->linear_slots();
  return layers;
}

namespace {

constexpr int kAttentionSets = 0;
constexpr int kMlpSets = 2;

}  // namespace

QuantizedLayer LayerPipeline::quantize(int64_t index) {
  Layers layers = load(index);
  QuantizedLayer result;
  for (const Block& block :
       {Block{kAttentionSets, &DecoderLayer::attention_block}, Block{kMlpSets, &DecoderLayer::mlp_block}}) {
    quantize_inputs(layers, block, index, result);
    quantize_outputs(layers, block, index, result);
  }
  return result;
}

void LayerPipeline::replay(int64_t index, const std::vector<NamedWeight>& weights) {
  Layers layers = load(index);
  for (const Block& block :
       {Block{kAttentionSets, &DecoderLayer::attention_block}, Block{kMlpSets, &DecoderLayer::mlp_block}}) {
    install(layers.slots, block.first_set, weights);
    advance_to_last(layers, block, nullptr);
    install(layers.slots, block.first_set + 1, weights);
    advance_last(layers, block);
  }
}

void LayerPipeline::quantize_inputs(Layers& layers, const Block& block, int64_t index, QuantizedLayer& result) {
  const int set = block.first_set;
  std::vector<SetMember> wanted = members(layers.slots, set);
  if (wanted.empty()) return;
  const uint64_t stream = static_cast<uint64_t>(index * 4 + set);
  if (options_.method == Method::kRtn) {
    finish_set(layers, set, std::move(wanted), nullptr, CrossMoment::kNone, stream, result);
    return;
  }
  const bool corrected = options_.correction != Correction::kOff;
  const Linear& target = layers.first_of(set);
  Statistics statistics(target.in, corrected ? target.in : 0, pool_);
  RecordingOps recorder(ops_);
  std::vector<LinearSlot> full_slots;
  if (corrected) full_slots = layers.full->linear_slots();
  std::vector<float> full_input;
  streams_.for_each([&](const Streams::Part& part) {
    if (part.held_out) return;
    check_cancel();
    if (corrected) {
      const auto same_set = std::find_if(full_slots.begin(), full_slots.end(), [&](auto& s) { return s.set == set; });
      recorder.capture(
          **same_set->weight, [&] { (layers.full.get()->*block.run)(recorder, part.full, part.batch); },
          [&](Tensor x) {
            full_input.resize(static_cast<size_t>(x.rows * x.dim));
            copy_rows(x, full_input.data());
          });
    }
    recorder.capture(
        target, [&] { (layers.quantized.get()->*block.run)(recorder, part.quantized, part.batch); },
        [&](Tensor x) { statistics.add(x.f32(), corrected ? full_input.data() : nullptr, x.rows); });
  });
  check_cancel();
  finish_set(layers, set, std::move(wanted), &statistics, corrected ? CrossMoment::kInputs : CrossMoment::kNone, stream,
             result);
}

void LayerPipeline::quantize_outputs(Layers& layers, const Block& block, int64_t index, QuantizedLayer& result) {
  const int set = block.first_set + 1;
  std::vector<SetMember> wanted = members(layers.slots, set);
  const uint64_t stream = static_cast<uint64_t>(index * 4 + set);
  if (wanted.empty() || options_.method == Method::kRtn) {
    advance_to_last(layers, block, nullptr);
    if (!wanted.empty()) finish_set(layers, set, std::move(wanted), nullptr, CrossMoment::kNone, stream, result);
  } else {
    const bool corrected = options_.correction != Correction::kOff;
    const Linear& last = layers.first_of(set);
    Statistics statistics(last.in, corrected ? last.out : 0, pool_);
    advance_to_last(layers, block, &statistics);
    finish_set(layers, set, std::move(wanted), &statistics, corrected ? CrossMoment::kOutputs : CrossMoment::kNone,
               stream, result);
  }
  advance_last(layers, block);
}

void LayerPipeline::advance_to_last(Layers& layers, const Block& block, Statistics* statistics) {
  const Linear& last = layers.first_of(block.first_set + 1);
  const bool keep = fits_into_memory(streams_.rows() * last.in * static_cast<int64_t>(sizeof(float)));
  kept_.reset();
  // Not a vector: there is no need to write zeros to gigabytes first.
  if (keep) kept_ = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(streams_.rows() * last.in));
  RecordingOps recorder(ops_);
  const std::vector<float> bias = bias_of(source_, last.name);
  std::vector<float> wanted;
  streams_.for_each([&](const Streams::Part& part) {
    check_cancel();
    const int64_t elements = part.quantized.rows * part.quantized.dim;
    if (streams_.has_full()) {
      // The wanted product W x: what the full-precision stream has behind the block, without the residual it is added
      // to and without the bias.
      const Tensor residual = options_.correction == Correction::kFull ? part.quantized : part.full;
      wanted.resize(static_cast<size_t>(elements));
      copy_rows(residual, wanted.data());
      (layers.full.get()->*block.run)(ops_, part.full, part.batch);
      pool_.parallel_for(part.full.rows, kCopiedRows, [&](int64_t begin, int64_t end) {
        const int64_t dim = part.full.dim;
        for (int64_t i = begin * dim; i < end * dim; ++i)
          wanted[static_cast<size_t>(i)] = part.full.f32()[i] - wanted[static_cast<size_t>(i)];
        for (int64_t i = begin * dim; !bias.empty() && i < end * dim; ++i)
          wanted[static_cast<size_t>(i)] -= bias[static_cast<size_t>(i % dim)];
      });
    }
    if (!keep && (statistics == nullptr || part.held_out)) return;
    recorder.capture(
        last, [&] { (layers.quantized.get()->*block.run)(recorder, part.quantized, part.batch); },
        [&](Tensor x) {
          if (keep) copy_rows(x, kept_.get() + part.first_row * x.dim);
          if (statistics != nullptr && !part.held_out)
            statistics->add(x.f32(), statistics->cross_rows() > 0 ? wanted.data() : nullptr, x.rows);
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

std::vector<SetMember> LayerPipeline::members(const std::vector<LinearSlot>& slots, int set) const {
  std::vector<SetMember> result;
  for (const LinearSlot& slot : slots) {
    if (slot.set != set || skipped(slot.name)) continue;
    const Linear& linear = **slot.weight;
    result.push_back({slot.name, linear.out, weight_of(linear), bias_of(source_, slot.name)});
  }
  return result;
}

void LayerPipeline::finish_set(Layers& layers, int set, std::vector<SetMember> members, const Statistics* statistics,
                               CrossMoment cross, uint64_t stream, QuantizedLayer& result) {
  SetReport report;
  for (const SetMember& member : members) report.linears.push_back(member.name);
  QuantizedSet quantized = quantizer_.quantize(std::move(members), statistics, cross, stream);
  report.losses = quantized.losses;
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
      if (named.name == slot.name) {
        const Paro4Weight& w = named.weight;
        *slot.weight = make_dense_linear(dequantize_paro4(w, &pool_), w.out, w.in, w.bias);
      }
  }
}

}  // namespace paro::calib
