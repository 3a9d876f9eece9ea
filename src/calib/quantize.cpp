#include "calib/quantize.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "calib/calibration_windows.h"
#include "calib/cpu_device.h"
#include "calib/end_tables.h"
#include "calib/export.h"
#include "calib/failure_signs.h"
#include "calib/layer_pipeline.h"
#include "calib/linear_bits.h"
#include "calib/outline.h"
#include "calib/scratch_folder.h"
#include "calib/sensitivity.h"
#include "calib/shared_device.h"
#include "calib/target_bits.h"
#include "calib/transform.h"
#include "calib/verify.h"
#include "calib/work_folder.h"
#include "io/safetensors.h"
#include "model/open_checkpoint.h"

namespace paro::calib {
namespace {

// A wrong tensor costs tenths of a nat; what remains between the stream and the file is f32 rounding and the norms'
// rounding to F16. A fiftieth of the smallest divergence that 4 bits were seen to cost.
constexpr double kMaxVerifyDivergence = 1e-3;
constexpr int64_t kVerifyTokens = 256;

using Source = SourceModel;

Source open_source(const QuantizeOptions& options) {
  Source source;
  source.checkpoint = open_checkpoint(options.model, {}, options.hub);
  source.config = parse_model_config(source.checkpoint.config, source.checkpoint.config_place());
  if (source.config.quantization.bits != 0)
    fail_input("{}: expected a full-precision model, found one quantized with \"{}\"", source.checkpoint.config_place(),
               source.config.quantization.method);
  const CalibrationAmount amount = calibration_amount(options);
  if (amount.seq_len > source.config.max_positions)
    fail_input("--seq-len {}: the model's context is {} tokens", amount.seq_len, source.config.max_positions);
  return source;
}

std::vector<std::string> names_of(const std::vector<LinearOutline>& linears) {
  std::vector<std::string> names;
  for (const LinearOutline& linear : linears) names.push_back(linear.name);
  return names;
}

/// Before anything is computed: every linear's width must be a multiple of the group, its height fill whole words.
void check_shapes(const QuantizeOptions& options, const Source& source, WeightFactory& factory,
                  const std::vector<LinearOutline>& linears, const LinearBits& bits) {
  // The factory's own checks, of a layer like the others.
  const Rope rope(source.config.rope, source.config.head_dim, source.config.max_positions);
  load_layer(source.config, 0, rope, *source.checkpoint.weights, factory);
  for (const LinearOutline& linear : linears) {
    if (bits.skipped(linear.name)) continue;
    if (linear.in % options.group_size != 0) {
      std::string fitting;
      for (int64_t group : {32, 64, 128})
        if (linear.in % group == 0) fitting += fmt::format("{}{}", fitting.empty() ? "" : ", ", group);
      fail_input("--group-size {}: does not divide the input width {} of \"{}\"; sizes that do: {}", options.group_size,
                 linear.in, linear.name, fitting.empty() ? "none (use --skip)" : fitting);
    }
    const int64_t outputs = outputs_multiple(bits(linear.name));
    if (linear.out % outputs != 0)
      fail_input("\"{}\": expected a number of outputs that is a multiple of {}, found {}; use --skip", linear.name,
                 outputs, linear.out);
  }
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
  for (const CalibrationFile& file : options.calibration) {
    std::error_code ignored;
    sizes.push_back(std::filesystem::file_size(file.path, ignored));
  }
  result["calibration_bytes"] = sizes;
  result.update(device.fingerprint());
  if (trainer != nullptr) result.update(trainer->fingerprint());
  return result;
}

/// Of the tensors that were written.
int64_t weight_bytes(const std::filesystem::path& folder) {
  int64_t bytes = 0;
  for (const TensorInfo& info : open_safetensors_folder(folder)->tensors()) bytes += info.stored_bytes;
  return bytes;
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

/// What the written checkpoint is held against: the first tokens of a window and the quantizer's logits of them.
struct Expected {
  std::vector<int32_t> window;
  std::vector<float> logits;
};

/// Of the reopened checkpoint to the quantizer's own stream, nats.
struct Verified {
  double kl = 0.0;
  double kl_int8 = 0.0;  // with int8 activations
};

/// A checkpoint that differs is taken back.
Verified verify_written(const QuantizeOptions& options, const ModelConfig& config, const Expected& expected) {
  const auto reopened = [&](Activations activations) {
    return divergence_of_checkpoint(options.output, config, expected.window, expected.logits, activations,
                                    options.threads);
  };
  const Verified verified{reopened(Activations::kF32), reopened(Activations::kInt8)};
  if (verified.kl < kMaxVerifyDivergence) return verified;
  std::filesystem::remove(options.output / "config.json");
  throw Error(ErrorKind::kDefect,
              fmt::format("{}: the written checkpoint's logits differ from the quantizer's: mean KL {:.2e}, expected "
                          "under {:.0e}",
                          options.output.string(), verified.kl, kMaxVerifyDivergence));
}

/// End-to-end tuning of the finished layers, which `work` has from then on; the logits of `tokens` behind it.
TunedModel tune(Trainer& trainer, const TrainingTask& task, WorkFolder& work, int64_t tokens) {
  std::vector<QuantizedLayer> finished;
  for (int64_t layer = 0; layer < task.config.layers; ++layer) finished.push_back(work.load_layer(layer));
  TunedModel tuned = trainer.tune(task, std::move(finished), tokens);
  for (int64_t layer = 0; layer < task.config.layers; ++layer)
    work.save_tuned_layer(layer, tuned.layers[static_cast<size_t>(layer)]);
  return tuned;
}

}  // namespace

Json quantize(const QuantizeOptions& options) {
  const auto device = make_cpu_device(options.threads);
  return quantize(options, *device);
}

Json quantize(const QuantizeOptions& options, Device& device, Trainer* trainer) {
  OneProcess alone;
  return quantize(options, device, alone, trainer);
}

Json quantize(const QuantizeOptions& options, Device& own_device, Processes& processes, Trainer* trainer) {
  options.check();
  if (processes.size() > 1 && (options.method == Method::kAwq || options.method == Method::kRtn))
    fail_usage("--method {}: runs in one process, found {}", method_name(options.method), processes.size());
  if (processes.size() > 1 && options.trains())
    fail_usage("training (--preset, --method efficientqat, --tune-epochs): runs in one process, found {}",
               processes.size());
  PARO_CHECK(!options.trains() || trainer != nullptr);
  if (!options.trains()) trainer = nullptr;
  SharedDevice shared(own_device, processes);
  Device& device = processes.size() > 1 ? static_cast<Device&>(shared) : own_device;
  const bool first = processes.rank() == 0;
  if (options.needs_baselines() && !device.has_baselines())
    fail_limit("--method awq and --act-order run on the CPU only; use --device cpu");
  const Source source = open_source(options);
  LinearBits bits(options);
  const std::vector<LinearOutline> linears = outline_linears(source.config, *source.checkpoint.weights);
  bits.check_rules(names_of(linears));
  const auto skipped = [&](const std::string& name) { return bits.skipped(name); };
  const CalibrationAmount amount = calibration_amount(options);
  // Refuse what cannot work before the first expensive step.
  ModelConfig untied = source.config;
  untied.tied_embeddings = untied.tied_embeddings && options.transform == Transform::kOnline;
  const EndBits ends_wanted = end_bits(options, untied);
  if (options.target_bits) check_target_bits(options, untied, linears, ends_wanted, bits);
  check_shapes(options, source, device.factory(), linears, bits);
  if (amount.samples < processes.size())
    fail_usage("{} processes: expected at least as many windows of calibration text (--samples), found {}",
               processes.size(), amount.samples);
  // What other processes need of process 0's folder is sent to folders of their own.
  std::optional<ScratchFolder> scratch;
  if (!first) scratch.emplace();
  WorkFolder work(first ? options.output : scratch->path() / "output", fingerprint(options, source, device, trainer),
                  options.resume, options.quantization());
  std::optional<CalibrationDraw> draw = work.load_calibration(amount);
  if (first && !draw) {
    try {
      draw = calibration_draw(options, source.checkpoint, source.config);
    } catch (...) {
      // Nothing is done yet that --resume could go on with.
      work.finish();
      throw;
    }
    work.save_calibration(*draw);
  }
  work.share(processes, WorkFolder::calibration_files());
  if (!first) draw = work.load_calibration(amount);
  CalibrationWindows windows = split_windows(options, *draw);
  if (options.report && device.host_matrices() == nullptr)
    log_info("the report has what this device measures: no outliers of weights, no losses of single stages");
  const auto start = std::chrono::steady_clock::now();
  const auto transform = [&] {
    return apply_transform(options, source, windows.fitted, amount.seq_len, skipped, work);
  };
  // What process 0 learns, the others find in their folders.
  TransformedModel transformed;
  if (first) transformed = transform();
  work.share(processes, transform_files());
  if (!first) transformed = transform();
  const Checkpoint& checkpoint = transformed.model.checkpoint;
  const ModelConfig& config = transformed.model.config;
  QuantizeOptions effective = options;
  if (std::find(transformed.online.begin(), transformed.online.end(), true) == transformed.online.end())
    effective.rotations = 0;
  if (options.format != "paroquant" && effective.rotations > 0)
    fail_input("--format {}: holds no rotations, and those of this model cannot all be merged; use --format paroquant",
               options.format);
  Json allocation;
  if (options.target_bits) {
    const auto allocate = [&] {
      return apply_target_bits(options, config, *checkpoint.weights, end_bits(options, config), windows.fitted,
                               amount.seq_len, own_device, work, bits);
    };
    // As with the rotations: process 0 measures, the others find what it decided.
    if (first) allocation = allocate();
    work.share(processes, {kAllocationFile});
    if (!first) allocate();
  }
  EndTables tables(options, config, *checkpoint.weights);
  const auto task_on = [&](const std::vector<int32_t>& ids) -> TrainingTask {
    return {effective, bits, config, *checkpoint.weights, amount.seq_len, ids, windows.held_out, transformed.online};
  };
  windows.fitted = share_of_windows(windows.fitted, amount.seq_len, processes);
  std::unique_ptr<LayerQuantizer> quantizer;
  if (options.trains_layers()) {
    quantizer = trainer->layer_trainer(task_on(windows.fitted));
  } else {
    std::vector<int32_t> ids = windows.fitted;
    const std::vector<int32_t> held_out = share_of_windows(windows.held_out, amount.seq_len, processes);
    ids.insert(ids.end(), held_out.begin(), held_out.end());
    Streams streams(config, std::move(ids), amount.seq_len, options.corrected(), device,
                    std::ssize(held_out) / amount.seq_len, {options.state_bytes(), work.file("")});
    quantizer = std::make_unique<LayerPipeline>(effective, bits, config, *checkpoint.weights, tables, device,
                                                std::move(streams), transformed.online);
  }

  Progress progress("quantizing layers", config.layers);
  Json layers = Json::array();
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    work.share(processes, WorkFolder::layer_files(layer));
    if (work.has_layer(layer)) {
      quantizer->replay(layer, work.load_layer(layer));
      if (!first) continue;
      layers.push_back(work.layer_report(layer));
      progress.advance(1, "from the earlier run");
      continue;
    }
    const double before = progress.seconds();
    QuantizedLayer quantized = quantizer->quantize(layer);
    if (!first) continue;
    quantized.seconds = progress.seconds() - before;
    work.save_layer(layer, quantized);
    layers.push_back(work.layer_report(layer));
    progress.advance(1, note_of(layers.back()));
  }

  quantizer->finish();
  if (!first) return nullptr;
  const int64_t tokens = std::min(amount.seq_len, kVerifyTokens);
  Expected expected;
  Json quality;
  Json tuning;
  if (options.tuning.epochs > 0) {
    quantizer.reset();
    TunedModel tuned = tune(*trainer, task_on(windows.tuned), work, tokens);
    expected = {last_window(windows.tuned, amount.seq_len), std::move(tuned.logits)};
    tuning = std::move(tuned.report);
  } else {
    expected = {last_window(windows.fitted, amount.seq_len), quantizer->logits(tokens)};
    quality = quantizer->quality();
    quantizer.reset();
  }
  expected.window.resize(static_cast<size_t>(tokens));
  export_tensors(effective, checkpoint, config, work, tables);
  export_config(effective, checkpoint, layers, tables.bits());
  const Verified verified = verify_written(options, config, expected);
  const std::vector<FailureSign> signs = failure_signs(layers, quality);
  for (const FailureSign& sign : signs) log_warning("{}: {}: {}", sign.sign, sign.message, sign.advice);
  Json report = {{"output", options.output.string()},
                 {"source", source.checkpoint.name},
                 {"settings", options.settings()},
                 {"calibration", {{"files", draw->files}, {"held_out", std::ssize(windows.held_out) / amount.seq_len}}},
                 {"layers", layers},
                 {"quality", quality},
                 {"warnings", signs_json(signs)},
                 {"bytes", weight_bytes(options.output)},
                 {"verify_kl", verified.kl},
                 {"verify_kl_int8", verified.kl_int8},
                 {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()}};
  if (!transformed.report.is_null()) report["transform"] = transformed.report;
  if (!allocation.is_null()) report["allocation"] = allocation;
  if (!tuning.is_null()) report["tuning"] = tuning;
  export_card(options, checkpoint, report);
  work.finish();
  log_info("reopened {}: mean KL to the quantizer's stream {:.1e} (int8 activations: {:.1e})", options.output.string(),
           verified.kl, verified.kl_int8);
  return report;
}

}  // namespace paro::calib
