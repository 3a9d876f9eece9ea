#include "calib/quantize.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "calib/calibration_text.h"
#include "calib/export.h"
#include "calib/failure_signs.h"
#include "calib/self_text.h"
#include "calib/stream_quality.h"
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

/// Whether the full-precision stream goes along.
bool needs_full(const QuantizeOptions& options) {
  return options.method != Method::kRtn && options.correction != Correction::kOff;
}

/// Round to nearest needs no text; a few ids are enough to check the written checkpoint. Held out for the comparison
/// with full precision: one window in 32.
CalibrationAmount amount_of(const QuantizeOptions& options) {
  if (options.method == Method::kRtn) return {1, 64, 0};
  const int64_t held_out = needs_full(options) ? std::clamp<int64_t>(options.samples / 32, 1, 8) : 0;
  return {options.samples, options.seq_len, held_out};
}

struct Source {
  Checkpoint checkpoint;
  ModelConfig config;
};

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

/// Before anything is computed: every linear's width must be a multiple of the group, its height of 8.
void check_shapes(const QuantizeOptions& options, const Source& source, DenseWeightFactory& factory, const Rope& rope,
                  const LayerPipeline& pipeline) {
  const auto layer = load_layer(source.config, 0, rope, *source.checkpoint.weights, factory);
  for (const LinearSlot& slot : layer->linear_slots()) {
    const Linear& linear = **slot.weight;
    if (pipeline.skipped(slot.name)) continue;
    if (linear.in % options.group_size != 0) {
      std::string fitting;
      for (int64_t group : {32, 64, 128})
        if (linear.in % group == 0) fitting += fmt::format("{}{}", fitting.empty() ? "" : ", ", group);
      fail_input("--group-size {}: does not divide the input width {} of \"{}\"; sizes that do: {}", options.group_size,
                 linear.in, slot.name, fitting.empty() ? "none (use --skip)" : fitting);
    }
    if (linear.out % 8 != 0)
      fail_input("\"{}\": expected a number of outputs that is a multiple of 8, found {}; use --skip", slot.name,
                 linear.out);
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

CalibrationDraw calibration_draw(const QuantizeOptions& options, const Source& source, Ops& ops) {
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
  draw.ids = sample_text(*model, ops, text_starts(source), {sequences, amount.seq_len, options.seed, options.cancel});
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
Json fingerprint(const QuantizeOptions& options, const Source& source, int threads) {
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
  result["threads"] = threads;
  result["isa"] = isa_name(active_isa());
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

/// The quantized stream's logits of the first tokens of the last window.
std::vector<float> stream_logits(const Model& ends, Ops& ops, const Streams& streams, int64_t window, int64_t tokens) {
  std::vector<float> hidden(streams.quantized(window), streams.quantized(window) + tokens * streams.dim());
  std::vector<int64_t> rows(static_cast<size_t>(tokens));
  std::iota(rows.begin(), rows.end(), 0);
  const OpsScope scope(ops);
  const Tensor logits = ends.logits(ops, {hidden.data(), tokens, streams.dim()}, rows);
  return {logits.f32(), logits.f32() + logits.rows * logits.dim};
}

/// Of the reopened checkpoint to the quantizer's own stream, nats.
struct Verified {
  double kl = 0.0;
  double kl_int8 = 0.0;  // with int8 activations
};

/// On the last window that was fitted to. A checkpoint that differs is taken back.
Verified verify_written(const QuantizeOptions& options, const ModelConfig& config, const Model& ends, Ops& ops,
                        const Streams& streams) {
  const int64_t last = streams.fitted() - 1;
  const int64_t tokens = std::min(streams.seq_len(), kVerifyTokens);
  const std::vector<float> expected = stream_logits(ends, ops, streams, last, tokens);
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

}  // namespace

Json quantize(const QuantizeOptions& options) {
  const Source source = open_source(options);
  const WeightSource& weights = *source.checkpoint.weights;
  const auto ops = make_cpu_ops({.threads = options.threads, .activations = Activations::kF32});
  const int threads = thread_pool_of(*ops).size();
  DenseWeightFactory factory;
  const auto ends = load_model_ends(source.config, weights, factory);

  const CalibrationAmount amount = amount_of(options);
  {
    // Refuse what cannot work before the first expensive step.
    Streams none(source.config, {0}, 1, false);
    check_shapes(options, source, factory, *ends->rope,
                 LayerPipeline(options, source.config, weights, *ends->rope, *ops, none));
  }
  const WorkFolder work(options.output, fingerprint(options, source, threads), options.resume);
  std::optional<CalibrationDraw> draw = work.load_calibration(amount);
  if (!draw) {
    try {
      draw = calibration_draw(options, source, *ops);
    } catch (...) {
      // Nothing is done yet that --resume could go on with.
      work.finish();
      throw;
    }
    work.save_calibration(*draw);
  }
  Streams streams(source.config, std::move(draw->ids), amount.seq_len, needs_full(options), draw->held_out);
  streams.embed(*ends, *ops);
  LayerPipeline pipeline(options, source.config, weights, *ends->rope, *ops, streams);

  Progress progress("quantizing layers", source.config.layers);
  Json layers = Json::array();
  for (int64_t layer = 0; layer < source.config.layers; ++layer) {
    if (work.has_layer(layer)) {
      pipeline.replay(layer, work.load_layer(layer));
      layers.push_back(work.layer_report(layer));
      progress.advance(1, "from the earlier run");
      continue;
    }
    const double before = progress.seconds();
    QuantizedLayer quantized = pipeline.quantize(layer);
    quantized.errors = stream_errors(streams);
    quantized.seconds = progress.seconds() - before;
    work.save_layer(layer, quantized);
    layers.push_back(work.layer_report(layer));
    progress.advance(1, note_of(layers.back()));
  }

  export_tensors(options, source.checkpoint, source.config, work);
  export_config(options, source.checkpoint);
  const Verified verified = verify_written(options, source.config, *ends, *ops, streams);
  const Json quality = stream_quality(*ends, *ops, streams);
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
                 {"seconds", progress.seconds()}};
  export_card(options, source.checkpoint, report);
  work.finish();
  log_info("reopened {}: mean KL to the quantizer's stream {:.1e} (int8 activations: {:.1e})", options.output.string(),
           verified.kl, verified.kl_int8);
  return report;
}

}  // namespace paro::calib
