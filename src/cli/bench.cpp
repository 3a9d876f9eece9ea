// paro bench: prefill and decode speed of a model beside the machine's limits.
#include <fmt/ranges.h>

#include "base/cpu.h"
#include "base/error.h"
#include "cli/bench_report.h"
#include "cli/bench_shape.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "runtime/measure.h"

namespace paro::cli {
namespace {

struct Flags {
  std::string model;
  std::string shape;
  std::string format = "paro4";
  PrecisionFlags precision;
  SpeedOptions speed;
  bool profile = false;
  bool json = false;
};

/// "1,2,4"
std::string list_text(std::span<const int64_t> values) { return fmt::format("{}", fmt::join(values, ",")); }

int run(Flags& flags, const CommonFlags& common) {
  if (flags.model.empty() == flags.shape.empty()) fail_usage("bench: expected MODEL or --shape NAME");
  flags.speed.cancel = &interrupt_flag();
  EngineOptions options;
  options.cpu = {.threads = common.threads, .profile = flags.profile};
  flags.precision.apply(options);
  options.hub = common.hub();
  options.tokenizer = false;
  const std::unique_ptr<Engine> engine =
      flags.shape.empty() ? Engine::load(flags.model, options) : random_engine(flags.shape, flags.format, options);
  const SpeedReport report = measure_speed(*engine, flags.speed);
  if (report.cancelled) throw Interrupted{};

  const BenchSubject subject = {
      .model = flags.shape.empty() ? flags.model : flags.shape + " (random weights, " + flags.format + ")",
      .isa = std::string(isa_name(active_isa())),
      .threads = thread_pool_of(engine->ops()).size(),
      .activations = flags.precision.activations,
      .head_bits = flags.precision.head_bits,
      .kv_bits = flags.precision.kv_bits,
      .context_length = engine->config().context_length(),
      .default_bodies = engine->ops().default_bodies()};
  if (flags.json) {
    write_json(bench_json(subject, report));
  } else {
    write_stdout(bench_text(subject, report));
  }
  return 0;
}

}  // namespace

Command bench_command() {
  return {"bench", "speed of a model, and its share of the machine's limits",
          "paro bench MODEL\nparo bench --shape smollm2-1.7b --rows 1,512 --contexts 0,1024 --json",
          [](CLI::App& app, const CommonFlags& common) {
            const auto flags = std::make_shared<Flags>();
            const auto sizes = CLI::Range(int64_t{0}, int64_t{1} << 24);
            app.add_option("MODEL", flags->model, "checkpoint folder, .gguf file or hub id");
            app.add_option("--shape", flags->shape, "random weights in the shape of: " + shape_list());
            app.add_option("--format", flags->format, "of the random weights: paro4 or dense")
                ->check(CLI::IsMember({"paro4", "dense"}))
                ->capture_default_str();
            flags->precision.add(app);
            app.add_option(
                   "--rows", flags->speed.prefill_rows,
                   "prefills of so many tokens; default: those that the context holds of " + list_text(kPrefillSizes))
                ->delimiter(',')
                ->allow_extra_args(false)
                ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
            app.add_option("--contexts", flags->speed.decode_contexts,
                           "decoding behind so many tokens; default: those that the context holds of " +
                               list_text(kDecodeContexts))
                ->delimiter(',')
                ->allow_extra_args(false)
                ->check(sizes);
            app.add_option("--tokens", flags->speed.decode_tokens, "decoded for each measurement")
                ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
                ->capture_default_str();
            app.add_option("--repeats", flags->speed.repeats,
                           "of each measurement, medians are shown; default: as many as two seconds hold, 1 to 20")
                ->check(CLI::Range(1, 1000));
            app.add_flag("--profile", flags->profile, "time of each operation, beside its limit");
            app.add_flag("--json", flags->json, "one JSON document");
            return [flags, &common] { return run(*flags, common); };
          }};
}

}  // namespace paro::cli
