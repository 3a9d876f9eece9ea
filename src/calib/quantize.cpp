#include "calib/quantize.h"

#include <algorithm>
#include <chrono>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "calib/calibration_text.h"
#include "calib/cpu_device.h"
#include "calib/end_tables.h"
#include "calib/export.h"
#include "calib/failure_signs.h"
#include "calib/linear_bits.h"
#include "calib/outline.h"
#include "calib/scratch_folder.h"
#include "calib/self_text.h"
#include "calib/sensitivity.h"
#include "calib/shared_device.h"
#include "calib/stream_quality.h"
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

/// Round to nearest needs no text; a few ids are enough to check the written checkpoint. Held out for the comparison
/// with full precision: one window in 32.
CalibrationAmount amount_of(const QuantizeOptions& options) {
  if (options.method == Method::kRtn) return {1, 64, 0};
  const int64_t held_out = options.corrected() ? std::clamp<int64_t>(options.samples / 32, 1, 8) : 0;
  return {options.samples, options.seq_len, held_out};
}

using Source = SourceModel;

Source open_source(const QuantizeOptions& options) {
  Source source;
  source.checkpoint = open_checkpoint(options.model, {}, options.hub);
  source.config = parse_model_config(source.checkpoint.config, source.checkpoint.config_place());
  if (source.config.quantization.bits != 0)
    fail_input("{}: expected a full-precision model, found one quantized with \"{}\"", source.checkpoint.config_place(),
               source.config.quantization.method);
  const CalibrationAmount amount = amount_of(options);
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

CalibrationDraw calibration_draw(const QuantizeOptions& options, const Source& source) {
  const CalibrationAmount amount = amount_of(options);
  CalibrationDraw draw;
  if (options.method == Method::kRtn) {
    draw.ids.resize(static_cast<size_t>(amount.samples * amount.seq_len));
    for (size_t i = 0; i < draw.ids.size(); ++i)
      draw.ids[i] = static_cast<int32_t>(i * 7919 % static_cast<size_t>(source.config.vocab_size));
    draw.files = Json::array();
    return draw;
  }
  if (!options.calibration.empty()) {
    const auto chat_template = source.checkpoint.make_chat_template();
    return draw_calibration(*source.checkpoint.make_tokenizer(), chat_template.get(), options.calibration, amount,
                            options.seed);
  }
  const int64_t sequences = amount.samples + amount.held_out;
  log_info("no --calibration text: sampling {} x {} tokens from the model itself", sequences, amount.seq_len);
  const auto factory = make_cpu_weight_factory({});
  const auto model = Model::load(source.config, *source.checkpoint.weights, *factory);
  const auto ops = make_cpu_ops({.threads = options.threads, .activations = Activations::kF32});
  draw.ids = sample_text(*model, *ops, text_starts(source), {sequences, amount.seq_len, options.seed, options.cancel});
  if (draw.ids.empty()) throw Cancelled{};
  draw.held_out = amount.held_out;
  draw.files = Json::array({{{"file", "sampled from the model itself"},
                             {"weight", 1.0},
                             {"documents", sequences},
                             {"tokens", draw.ids.size()},
                             {"windows", amount.samples}}});
  return draw;
}

/// What the bytes depend on, the source and the machine's way of summing included.
Json fingerprint(const QuantizeOptions& options, const Source& source, const Device& device) {
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

/// Of the reopened checkpoint to the quantizer's own stream, nats.
struct Verified {
  double kl = 0.0;
  double kl_int8 = 0.0;  // with int8 activations
};

/// On the last window that was fitted to. A checkpoint that differs is taken back.
Verified verify_written(const QuantizeOptions& options, const ModelConfig& config, const Model& ends, Device& device,
                        const Streams& streams) {
  const int64_t last = streams.fitted() - 1;
  const int64_t tokens = std::min(streams.seq_len(), kVerifyTokens);
  const std::vector<float> expected = stream_logits(ends, device, streams, last, tokens);
  std::vector<int32_t> window = streams.window(last);
  window.resize(static_cast<size_t>(tokens));
  const auto reopened = [&](Activations activations) {
    return divergence_of_checkpoint(options.output, config, window, expected, activations, options.threads);
  };
  const Verified verified{reopened(Activations::kF32), reopened(Activations::kInt8)};
  if (verified.kl < kMaxVerifyDivergence) return verified;
  std::filesystem::remove(options.output / "config.json");
  throw Error(ErrorKind::kDefect,
              fmt::format("{}: the written checkpoint's logits differ from the quantizer's: mean KL {:.2e}, expected "
                          "under {:.0e}",
                          options.output.string(), verified.kl, kMaxVerifyDivergence));
}

/// The windows that are fitted to.
std::vector<int32_t> fitted_ids(const CalibrationDraw& draw, int64_t seq_len) {
  return {draw.ids.begin(), draw.ids.end() - draw.held_out * seq_len};
}

/// Leaves the windows that this process works on.
void take_share(CalibrationDraw& draw, int64_t seq_len, const Processes& processes) {
  const int64_t held_out = draw.held_out;
  const int64_t fitted = std::ssize(draw.ids) / seq_len - held_out;
  std::vector<int32_t> mine;
  const auto take = [&](Share share, int64_t first_window) {
    const auto begin = draw.ids.begin() + first_window * seq_len;
    mine.insert(mine.end(), begin + share.begin * seq_len, begin + share.end * seq_len);
  };
  const Share of_held_out = share_of(held_out, processes.rank(), processes.size());
  take(share_of(fitted, processes.rank(), processes.size()), 0);
  take(of_held_out, fitted);
  draw.ids = std::move(mine);
  draw.held_out = of_held_out.end - of_held_out.begin;
}

}  // namespace

Json quantize(const QuantizeOptions& options) {
  const auto device = make_cpu_device(options.threads);
  return quantize(options, *device);
}

Json quantize(const QuantizeOptions& options, Device& device) {
  OneProcess alone;
  return quantize(options, device, alone);
}

Json quantize(const QuantizeOptions& options, Device& own_device, Processes& processes) {
  options.check();
  if (processes.size() > 1 && (options.method == Method::kAwq || options.method == Method::kRtn))
    fail_usage("--method {}: runs in one process, found {}", method_name(options.method), processes.size());
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
  const CalibrationAmount amount = amount_of(options);
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
  const WorkFolder work(first ? options.output : scratch->path() / "output", fingerprint(options, source, device),
                        options.resume, options.quantization());
  std::optional<CalibrationDraw> draw = work.load_calibration(amount);
  if (first && !draw) {
    try {
      draw = calibration_draw(options, source);
    } catch (...) {
      // Nothing is done yet that --resume could go on with.
      work.finish();
      throw;
    }
    work.save_calibration(*draw);
  }
  work.share(processes, WorkFolder::calibration_files());
  if (!first) draw = work.load_calibration(amount);
  if (options.report && device.host_matrices() == nullptr)
    log_info("the report has what this device measures: no outliers of weights, no losses of single stages");
  const auto start = std::chrono::steady_clock::now();
  const auto transform = [&] {
    return apply_transform(options, source, fitted_ids(*draw, amount.seq_len), amount.seq_len, skipped, work);
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
      return apply_target_bits(options, config, *checkpoint.weights, end_bits(options, config),
                               fitted_ids(*draw, amount.seq_len), amount.seq_len, own_device, work, bits);
    };
    // As with the rotations: process 0 measures, the others find what it decided.
    if (first) allocation = allocate();
    work.share(processes, {kAllocationFile});
    if (!first) allocate();
  }
  EndTables tables(options, config, *checkpoint.weights);
  auto ends = load_model_ends(config, tables.source(), device.factory());
  take_share(*draw, amount.seq_len, processes);
  Streams streams(config, std::move(draw->ids), amount.seq_len, options.corrected(), device, draw->held_out,
                  {options.state_bytes(), work.file("")});
  if (tables.empty())
    streams.embed(*ends);
  else
    streams.embed(*ends, load_model_ends(config, *checkpoint.weights, device.factory()).get());
  LayerPipeline pipeline(effective, bits, config, *checkpoint.weights, *ends->rope, device, streams,
                         transformed.online);

  Progress progress("quantizing layers", config.layers);
  Json layers = Json::array();
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    work.share(processes, WorkFolder::layer_files(layer));
    if (work.has_layer(layer)) {
      pipeline.replay(layer, work.load_layer(layer));
      if (!first) continue;
      layers.push_back(work.layer_report(layer));
      progress.advance(1, "from the earlier run");
      continue;
    }
    const double before = progress.seconds();
    QuantizedLayer quantized = pipeline.quantize(layer);
    if (!first) continue;
    quantized.errors = stream_errors(device, streams);
    quantized.seconds = progress.seconds() - before;
    work.save_layer(layer, quantized);
    layers.push_back(work.layer_report(layer));
    progress.advance(1, note_of(layers.back()));
  }

  if (tables.round_head(*ends, streams, device)) ends = load_model_ends(config, tables.source(), device.factory());
  if (!first) return nullptr;
  export_tensors(effective, checkpoint, config, work, tables);
  export_config(effective, checkpoint, layers, tables.bits());
  const Verified verified = verify_written(options, config, *ends, device, streams);
  const Json quality = stream_quality(*ends, device, streams);
  const std::vector<FailureSign> signs = failure_signs(layers, quality);
  for (const FailureSign& sign : signs) log_warning("{}: {}: {}", sign.sign, sign.message, sign.advice);
  Json report = {{"output", options.output.string()},
                 {"source", source.checkpoint.name},
                 {"settings", options.settings()},
                 {"calibration", {{"files", draw->files}, {"held_out", draw->held_out}}},
                 {"layers", layers},
                 {"quality", quality},
                 {"warnings", signs_json(signs)},
                 {"bytes", weight_bytes(options.output)},
                 {"verify_kl", verified.kl},
                 {"verify_kl_int8", verified.kl_int8},
                 {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()}};
  if (!transformed.report.is_null()) report["transform"] = transformed.report;
  if (!allocation.is_null()) report["allocation"] = allocation;
  export_card(options, checkpoint, report);
  work.finish();
  log_info("reopened {}: mean KL to the quantizer's stream {:.1e} (int8 activations: {:.1e})", options.output.string(),
           verified.kl, verified.kl_int8);
  return report;
}

}  // namespace paro::calib
