// paro quantize: a full-precision model in, a quantized checkpoint out.
#include "calib/quantize.h"

#include <charconv>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/device.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/quantize_training.h"

namespace paro::cli {
namespace {

struct Flags {
  calib::QuantizeOptions options;
  std::string output;
  std::string method = "paroquant";
  TrainingFlags training;
  std::string pairs = "random";
  std::string correction = "full";
  std::string share = "on";
  std::string transform;
  std::string format = "auto";
  std::string clip = "on";
  std::vector<std::string> calibration;
  std::vector<std::string> bits_for;
  std::string report;
  bool dry_run = false;
  bool json = false;
};

calib::Transform transform_of(const Flags& flags) {
  if (flags.method != "paroquant") {
    if (flags.transform == "hybrid" || flags.transform == "merged")
      fail_usage("--transform {}: needs --method paroquant, found {}", flags.transform, flags.method);
    return calib::Transform::kOnline;
  }
  if (flags.transform == "online") return calib::Transform::kOnline;
  return flags.transform == "merged" ? calib::Transform::kMerged : calib::Transform::kHybrid;
}

/// Where the user names none: what needs nothing at run time comes in what other engines read.
std::string format_of(const Flags& flags, const calib::QuantizeOptions& options) {
  if (flags.format != "auto") return flags.format;
  if (flags.method == "rtn" || flags.method == "efficientqat") return "gptq";
  // AWQ's tensors hold 4 bits only.
  if (options.transform == calib::Transform::kMerged) return options.only_four_bits() ? "awq" : "gptq";
  return flags.method;
}

/// REGEX=B; the expression may hold a '=', too.
calib::BitsRule bits_rule(const std::string& text) {
  const size_t split = text.rfind('=');
  calib::BitsRule rule;
  if (split != std::string::npos && split > 0) {
    rule.pattern = text.substr(0, split);
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + split + 1, end, rule.bits);
    if (error == std::errc() && rest == end) return rule;
  }
  fail_usage("--bits-for '{}': expected REGEX=B with B 2, 3, 4, 8 or 16", text);
}

calib::QuantizeOptions options_of(const CLI::App& app, const Flags& flags, const CommonFlags& common) {
  calib::QuantizeOptions options = flags.options;
  options.output = flags.output;
  options.threads = common.threads;
  options.hub = common.hub();
  options.cancel = &interrupt_flag();
  if (flags.method == "rtn") options.method = calib::Method::kRtn;
  if (flags.method == "gptq") options.method = calib::Method::kGptq;
  if (flags.method == "awq") options.method = calib::Method::kAwq;
  if (flags.method == "efficientqat") options.method = calib::Method::kEfficientQat;
  // All of them round in the original basis.
  if (options.method != calib::Method::kParoQuant) options.rotations = 0;
  options.pairs = flags.pairs == "random"      ? calib::PairKind::kRandom
                  : flags.pairs == "butterfly" ? calib::PairKind::kButterfly
                                               : calib::PairKind::kMagnitude;
  options.correction = flags.correction == "full"     ? calib::Correction::kFull
                       : flags.correction == "target" ? calib::Correction::kTarget
                                                      : calib::Correction::kOff;
  options.transform = transform_of(flags);
  options.share_rotations = flags.share == "on";
  options.clip = flags.clip == "on";
  for (const std::string& rule : flags.bits_for) options.bits_for.push_back(bits_rule(rule));
  apply_training_flags(app, flags.training, options);
  options.format = format_of(flags, options);
  options.report = !flags.report.empty() || flags.json;
  for (const std::string& file : flags.calibration) options.calibration.push_back(calib::CalibrationFile::parse(file));
  return options;
}

void print_estimate(const Json& estimate, bool json) {
  if (json) {
    write_json(estimate);
    return;
  }
  write_stdout(fmt::format("{}\ntime    about {}\nmemory  about {:.1f} GB\ndisk    about {:.2f} GB\n",
                           dump_json(estimate["settings"], 2), duration_text(estimate["seconds"].get<double>()),
                           estimate["memory_bytes"].get<double>() / 1e9, estimate["disk_bytes"].get<double>() / 1e9));
}

/// The flag that asks for training.
std::string trained_by(const Flags& flags) {
  if (flags.method == "efficientqat") return "--method efficientqat";
  return flags.training.preset == "fast" ? "--tune-epochs" : "--preset " + flags.training.preset;
}

int run(const CLI::App& app, const Flags& flags, CommonFlags common) {
  calib::QuantizeOptions options = options_of(app, flags, common);
  if (options.needs_baselines() && common.device == "auto") common.device = "cpu";
  if (flags.dry_run) {
    std::unique_ptr<calib::Trainer> trainer;
    if (options.trains() && trainer_available()) trainer = make_trainer(common, flags.training.products, "");
    print_estimate(calib::estimate_quantize(options, *make_device(common, options.trains()), trainer.get()),
                   flags.json);
    return 0;
  }
  if (flags.output.empty()) fail_usage("-o DIR is required (but with --dry-run)");
  if (const auto folder = std::filesystem::path(flags.report).parent_path();
      !folder.empty() && !std::filesystem::is_directory(folder))
    fail_input("--report {}: there is no folder {}", flags.report, folder.string());
  const auto processes = make_processes();
  const bool first = processes->rank() == 0;
  if (!first) set_log_level(LogLevel::kError);
  std::unique_ptr<calib::Trainer> trainer;
  if (options.trains()) trainer = make_trainer(common, flags.training.products, trained_by(flags));
  options.calibration = calib::resolve_mixes(options.calibration, options.hub);
  try {
    const auto device = make_device(common, options.trains(), processes->local_rank());
    const Json report = calib::quantize(options, *device, *processes, trainer.get());
    if (!first) return 0;
    if (!flags.report.empty()) write_file(flags.report, dump_json(report, 2));
    if (flags.json)
      write_json(report);
    else
      write_stdout(flags.output + "\n");
  } catch (const calib::Cancelled&) {
    throw Interrupted{"finished layers are kept; run the same command with --resume to go on"};
  }
  return 0;
}

}  // namespace

Command quantize_command() {
  return {
      "quantize", "quantize a model to 4 bits (or 2, 3, 8, or a mix of them)",
      "paro quantize MODEL -o DIR --group-size 128 --calibration text.txt\n"
      "paro quantize MODEL -o DIR --method awq --calibration text.txt     # for transformers, vLLM and others\n"
      "paro quantize model.gguf -o DIR --samples 32 --seq-len 1024     # calibrated on the model's own text\n"
      "paro quantize MODEL -o DIR --device cuda                        # on an NVIDIA GPU\n"
      "paro quantize MODEL -o DIR --preset standard --calibration text.txt  # better; a build with LibTorch\n"
      "mpirun -np 4 paro quantize MODEL -o DIR ...                     # processes share the work (built with MPI)",
      [](CLI::App& app, const CommonFlags& common) {
        const auto flags = std::make_shared<Flags>();
        calib::QuantizeOptions& o = flags->options;
        app.add_option("MODEL", o.model, "checkpoint folder, .gguf file or hub id")->required();
        app.add_option("-o,--output", flags->output, "folder of the new checkpoint");
        app.add_option("--method", flags->method,
                       "paroquant, awq (scales), gptq (no rotation), rtn (round to nearest) or efficientqat (trained; "
                       "needs a build with LibTorch)")
            ->check(CLI::IsMember({"paroquant", "gptq", "rtn", "awq", "efficientqat"}))
            ->capture_default_str();
        app.add_option("--bits", o.bits, "bits of a weight: 4, 3, 2 or 8")
            ->check(CLI::IsMember(std::set<int64_t>{2, 3, 4, 8}))
            ->capture_default_str();
        app.add_option(
               "--bits-for", flags->bits_for,
               "REGEX=B (repeatable, later ones win): bits of the linears it is found in the names of: 2, 3, 4, "
               "8, or 16 to leave them as they are")
            ->allow_extra_args(false);
        app.add_option("--target-bits", o.target_bits,
                       "X: average bits of a weight, scales and zero points included; each linear gets 2, 3, 4 or 8 by "
                       "what its rounding costs");
        app.add_option("--embedding-bits", o.embedding_bits,
                       "of the embeddings: 8 or 4 in an extension of the format, else 16 (the public format)")
            ->check(CLI::IsMember(std::set<int64_t>{4, 8, 16}));
        app.add_option("--head-bits", o.head_bits,
                       "the same of the output head; tied embeddings have one width for both")
            ->check(CLI::IsMember(std::set<int64_t>{4, 8, 16}));
        app.add_option("--group-size", o.group_size, "inputs that share scale and rotation")
            ->check(CLI::IsMember(std::set<int64_t>{32, 64, 128}))
            ->capture_default_str();
        app.add_option("--rotations", o.rotations, "rounds of pairwise rotations (0: none)")
            ->check(CLI::Range(0, 16))
            ->capture_default_str();
        app.add_option("--pairs", flags->pairs, "random, butterfly, or magnitude (strong channels with weak ones)")
            ->check(CLI::IsMember({"random", "butterfly", "magnitude"}))
            ->capture_default_str();
        app.add_option("--pair-fraction", o.pair_fraction,
                       "share of each round's pairs that is rotated: those whose largest weights differ most")
            ->check(CLI::Range(0.01, 1.0))
            ->capture_default_str();
        app.add_option("--share-rotations", flags->share, "one rotation for q, k, v and one for gate, up: on or off")
            ->check(CLI::IsMember({"on", "off"}))
            ->capture_default_str();
        app.add_option("--correction", flags->correction, "which earlier errors targets make up for: full, target, off")
            ->check(CLI::IsMember({"full", "target", "off"}))
            ->capture_default_str();
        app.add_option(
               "--calibration", flags->calibration,
               "FILE[:WEIGHT] of text, .jsonl or .json (of texts or chats), also .gz, .zst (repeatable); WEIGHT: "
               "its share of the samples (default 1); 'recipe': the published mix, downloaded; none: text "
               "sampled from the model itself")
            ->allow_extra_args(false);
        app.add_option("--samples", o.samples, "windows of calibration text")
            ->check(CLI::Range(1, 1 << 20))
            ->capture_default_str();
        app.add_option("--seq-len", o.seq_len, "tokens of a window")
            ->check(CLI::Range(8, 1 << 20))
            ->capture_default_str();
        app.add_option("--seed", o.seed, "of pairs, windows and samples")->capture_default_str();
        app.add_option("--sweeps", o.sweeps, "passes of coordinate descent after rounding")
            ->check(CLI::Range(0, 16))
            ->capture_default_str();
        app.add_flag("--act-order", o.act_order, "with --method gptq: inputs in the order of their energy");
        app.add_option("--clip", flags->clip, "search for smaller ranges: on or off (rtn: never)")
            ->check(CLI::IsMember({"on", "off"}))
            ->capture_default_str();
        app.add_option("--skip", o.skip, "REGEX of linears that stay 16-bit (repeatable)")->allow_extra_args(false);
        app.add_option(
               "--transform", flags->transform,
               "where inputs are rotated: hybrid (default of paroquant: merged into the weights, that of down when "
               "running), merged (nothing when running), online (all when running)")
            ->check(CLI::IsMember({"online", "hybrid", "merged"}));
        app.add_option(
               "--format", flags->format,
               "of the checkpoint: paroquant, awq, gptq; auto: awq for --method awq and --transform merged, gptq for "
               "gptq and rtn, else paroquant")
            ->check(CLI::IsMember({"auto", "paroquant", "awq", "gptq"}))
            ->capture_default_str();
        app.add_option("--state-memory", o.state_memory,
                       "GB of hidden states to keep in memory; more go to a file in -o DIR (default: half of the "
                       "memory; not on a GPU)")
            ->check(CLI::Range(0.0, 1e6));
        app.add_flag("--resume", o.resume, "go on where an interrupted run stopped");
        app.add_flag("--dry-run", flags->dry_run, "print settings and the estimated time, memory and disk");
        app.add_option("--report", flags->report, "FILE for the report, JSON");
        app.add_flag("--json", flags->json, "print the report as one JSON document");
        add_training_flags(app, flags->training, o);
        return [flags, &app, &common] { return run(app, *flags, common); };
      },
      true};
}

}  // namespace paro::cli
