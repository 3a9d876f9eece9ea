#include "calib/quantize.h"

#include <algorithm>
#include <chrono>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "calib/calibration_text.h"
#include "calib/cpu_device.h"
#include "calib/export.h"
#include "calib/layer_pipeline.h"
#include "calib/self_text.h"
#include "calib/transform.h"
#include "calib/verify.h"
#include "calib/work_folder.h"
#include "model/open_checkpoint.h"

namespace paro::calib {
namespace {

// A wrong tensor costs tenths of a nat; what remains between the stream and the file is f32 rounding and the norms'
// rounding to F16. A fiftieth of the smallest divergence that 4 bits were seen to cost.
constexpr double kMaxVerifyDivergence = 1e-3;
constexpr int64_t kVerifyTokens = 256;

/// Round to nearest needs no text; a few ids are enough to check the written checkpoint.
struct Amount {
  int64_t samples;   // of calibration, or on which layers are trained
  int64_t seq_len;
  int64_t tuning;    // windows that are tuned on, from the first one on
  int64_t held_out;  // behind all others
  int64_t windows() const { return std::max(samples, tuning) + held_out; }
};
Amount amount_of(const QuantizeOptions& options) {
  if (options.method == Method::kRtn) return {1, 64, 0, 0};
  return {options.samples, options.seq_len, options.tuning_samples(), options.trains() ? options.validation : 0};
}

std::vector<int32_t> windows_of(const std::vector<int32_t>& ids, int64_t seq_len, int64_t first, int64_t count) {
  const auto begin = ids.begin() + first * seq_len;
  return {begin, begin + count * seq_len};
}

using Source = SourceModel;

Source open_source(const QuantizeOptions& options) {
  Source source;
  source.checkpoint = open_checkpoint(options.model, {}, options.hub);
  source.config = parse_model_config(source.checkpoint.config, source.checkpoint.config_place());
  if (source.config.quantization.bits != 0)
    fail_input("{}: expected a full-precision model, found one quantized with \"{}\"", source.checkpoint.config_place(),
               source.config.quantization.method);
  const Amount amount = amount_of(options);
  if (amount.seq_len > source.config.max_positions)
    fail_input("--seq-len {}: the model's context is {} tokens", amount.seq_len, source.config.max_positions);
  return source;
}

/// Before anything is computed: every linear's width must be a multiple of the group, its height fill whole words.
void check_shapes(const QuantizeOptions& options, const Source& source, WeightFactory& factory,
                  const SkipFilter& skipped) {
  const Rope rope(source.config.rope, source.config.head_dim, source.config.max_positions);
  const auto layer = load_layer(source.config, 0, rope, *source.checkpoint.weights, factory);
  for (const LinearSlot& slot : layer->linear_slots()) {
    const Linear& linear = **slot.weight;
    if (skipped(slot.name)) continue;
    if (linear.in % options.group_size != 0) {
      std::string fitting;
      for (int64_t group : {32, 64, 128})
        if (linear.in % group == 0) fitting += fmt::format("{}{}", fitting.empty() ? "" : ", ", group);
      fail_input("--group-size {}: does not divide the input width {} of \"{}\"; sizes that do: {}", options.group_size,
                 linear.in, slot.name, fitting.empty() ? "none (use --skip)" : fitting);
    }
    const int64_t outputs = options.bits == 4 ? 8 : options.bits == 3 ? 32 : 16;
    if (linear.out % outputs != 0)
      fail_input("\"{}\": expected a number of outputs that is a multiple of {}, found {}; use --skip", slot.name,
                 outputs, linear.out);
  }
}

std::vector<int32_t> text_starts(const Source& source) {
  std::vector<int32_t> starts;
  const auto add = [&](int64_t id) {
    const auto value = static_cast<int32_t>(id);
    if (id >= 0 && id < source.config.vocab_size && std::find(starts.begin(), starts.end(), value) == starts.end())
      starts.push_back(value);
  };
  const auto tokenizer = source.checkpoint.make_tokenizer();
  for (const std::string& token : {tokenizer->bos_token(), tokenizer->eos_token(), std::string("<|endoftext|>")})
    if (!token.empty()) add(tokenizer->token_to_id(token).value_or(-1));
  for (const int32_t id : source.config.eos_ids) add(id);
  if (starts.empty()) starts.push_back(0);
  return starts;
}

std::vector<int32_t> calibration_ids(const QuantizeOptions& options, const Source& source) {
  const Amount amount = amount_of(options);
  if (options.method == Method::kRtn) {
    std::vector<int32_t> ids(static_cast<size_t>(amount.windows() * amount.seq_len));
    for (size_t i = 0; i < ids.size(); ++i)
      ids[i] = static_cast<int32_t>(i * 7919 % static_cast<size_t>(source.config.vocab_size));
    return ids;
  }
  if (!options.calibration.empty())
    return calibration_windows(*source.checkpoint.make_tokenizer(), options.calibration, amount.windows(),
                               amount.seq_len, options.seed);
  log_info("no --calibration text: sampling {} x {} tokens from the model itself", amount.windows(), amount.seq_len);
  const auto factory = make_cpu_weight_factory({});
  const auto model = Model::load(source.config, *source.checkpoint.weights, *factory);
  const auto ops = make_cpu_ops({.threads = options.threads, .activations = Activations::kF32});
  std::vector<int32_t> ids =
      sample_text(*model, *ops, text_starts(source), {amount.windows(), amount.seq_len, options.seed, options.cancel});
  if (ids.empty()) throw Cancelled{};
  return ids;
}

/// What the bytes depend on, the source and the machine's way of summing included.
Json fingerprint(const QuantizeOptions& options, const Source& source, const Device& device, const Trainer* trainer) {
  Json result = options.settings();
  result["source"] = source.checkpoint.name;
  result["source_config"] = dump_json(source.checkpoint.config);
  int64_t bytes = 0;
  for (const TensorInfo& info : source.checkpoint.weights->tensors()) bytes += info.stored_bytes;
  result["source_bytes"] = bytes;
  Json sizes = Json::array();
  for (const auto& file : options.calibration) {
    std::error_code ignored;
    sizes.push_back(std::filesystem::file_size(file, ignored));
  }
  result["calibration_bytes"] = sizes;
  result.update(device.fingerprint());
  if (trainer != nullptr) result.update(trainer->fingerprint());
  return result;
}

std::string note_of(const Json& report) {
  double rtn = 0.0;
  double written = 0.0;
  for (const Json& set : report["sets"]) {
    rtn += set["rtn_loss"].get<double>();
    written += set["loss"].get<double>();
  }
  if (rtn == 0.0) return "";
  const auto count = static_cast<double>(report["sets"].size());
  return fmt::format("relative loss {:.2e} (nearest: {:.2e})", written / count, rtn / count);
}

}  // namespace

Json quantize(const QuantizeOptions& options) {
  const auto device = make_cpu_device(options.threads);
  return quantize(options, *device);
}

Json quantize(const QuantizeOptions& options, Device& device, Trainer* trainer) {
  options.check();
  PARO_CHECK(!options.trains() || trainer != nullptr);
  if (!options.trains()) trainer = nullptr;
  if (options.needs_baselines() && !device.has_baselines())
    fail_limit("--method awq and --act-order run on the CPU only; use --device cpu");
  const Source source = open_source(options);
  const SkipFilter skipped(options.skip);
  const Amount amount = amount_of(options);
  // Refuse what cannot work before the first expensive step.
  check_shapes(options, source, device.factory(), skipped);
  WorkFolder work(options.output, fingerprint(options, source, device, trainer), options.resume,
                  options.quantization());
  std::optional<std::vector<int32_t>> ids = work.load_ids(amount.windows() * amount.seq_len);
  if (!ids) {
    try {
      ids = calibration_ids(options, source);
    } catch (...) {
      // Nothing is done yet that --resume could go on with.
      work.finish();
      throw;
    }
    work.save_ids(*ids);
  }
  const auto start = std::chrono::steady_clock::now();
  const TransformedModel transformed =
      apply_transform(options, source, windows_of(*ids, amount.seq_len, 0, amount.samples), amount.seq_len, skipped,
                      work);
  const Checkpoint& checkpoint = transformed.model.checkpoint;
  const ModelConfig& config = transformed.model.config;
  QuantizeOptions effective = options;
  if (std::find(transformed.online.begin(), transformed.online.end(), true) == transformed.online.end())
    effective.rotations = 0;
  if (options.format != "paroquant" && effective.rotations > 0)
    fail_input("--format {}: holds no rotations, and those of this model cannot all be merged; use --format paroquant",
               options.format);
  const auto task_on = [&](int64_t windows) -> TrainingTask {
    return {effective,
            config,
            *checkpoint.weights,
            amount.seq_len,
            windows_of(*ids, amount.seq_len, 0, windows),
            windows_of(*ids, amount.seq_len, amount.windows() - amount.held_out, amount.held_out),
            transformed.online};
  };
  std::unique_ptr<LayerQuantizer> quantizer;
  if (options.trains_layers())
    quantizer = trainer->layer_trainer(task_on(amount.samples));
  else
    quantizer = std::make_unique<LayerPipeline>(effective, config, *checkpoint.weights, device,
                                                windows_of(*ids, amount.seq_len, 0, amount.samples), amount.seq_len,
                                                transformed.online);

  Progress progress("quantizing layers", config.layers);
  Json layers = Json::array();
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    if (work.has_layer(layer)) {
      quantizer->replay(layer, work.load_layer(layer));
      layers.push_back(work.layer_report(layer));
      progress.advance(1, "from the earlier run");
      continue;
    }
    work.save_layer(layer, quantizer->quantize(layer));
    layers.push_back(work.layer_report(layer));
    progress.advance(1, note_of(layers.back()));
  }

  ExportedFigures figures;
  const int64_t tokens = std::min(amount.seq_len, kVerifyTokens);
  std::vector<float> expected;
  int64_t checked = amount.samples - 1;  // the window that `expected` belongs to
  if (amount.tuning > 0) {
    quantizer.reset();
    std::vector<QuantizedLayer> finished;
    for (int64_t layer = 0; layer < config.layers; ++layer) finished.push_back(work.load_layer(layer));
    TunedModel tuned = trainer->tune(task_on(amount.tuning), std::move(finished), tokens);
    for (int64_t layer = 0; layer < config.layers; ++layer)
      work.save_tuned_layer(layer, tuned.layers[static_cast<size_t>(layer)]);
    expected = std::move(tuned.logits);
    figures.tuning = std::move(tuned.report);
    checked = amount.tuning - 1;
  } else {
    expected = quantizer->logits(tokens);
    quantizer.reset();
  }
  export_tensors(effective, checkpoint, config, work);
  export_config(effective, checkpoint, layers);
  std::vector<int32_t> window = windows_of(*ids, amount.seq_len, checked, 1);
  window.resize(static_cast<size_t>(tokens));
  const auto reopened = [&](Activations activations) {
    return divergence_of_checkpoint(options.output, config, window, expected, activations, options.threads);
  };
  figures.verify_kl = reopened(Activations::kF32);
  figures.verify_kl_int8 = reopened(Activations::kInt8);
  if (!(figures.verify_kl < kMaxVerifyDivergence)) {
    std::filesystem::remove(options.output / "config.json");
    throw Error(ErrorKind::kDefect,
                fmt::format("{}: the written checkpoint's logits differ from the quantizer's: mean KL {:.2e}, expected "
                            "under {:.0e}",
                            options.output.string(), figures.verify_kl, kMaxVerifyDivergence));
  }
  figures.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  figures.transform = transformed.report;
  export_card(options, checkpoint, layers, figures);
  work.finish();
  log_info("reopened {}: mean KL to the quantizer's stream {:.1e} (int8 activations: {:.1e})", options.output.string(),
           figures.verify_kl, figures.verify_kl_int8);
  Json report = {
      {"output", options.output.string()}, {"settings", options.settings()},           {"layers", layers},
      {"verify_kl", figures.verify_kl},    {"verify_kl_int8", figures.verify_kl_int8}, {"seconds", figures.seconds}};
  if (!figures.transform.is_null()) report["transform"] = figures.transform;
  if (!figures.tuning.is_null()) report["tuning"] = figures.tuning;
  return report;
}

}  // namespace paro::calib
