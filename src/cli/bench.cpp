// paro bench: prefill and decode speed of a model beside the machine's limits.
#include <sys/resource.h>

#include "base/cpu.h"
#include "base/error.h"
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

int64_t peak_memory() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * int64_t{1024};
}

Json points_json(const std::vector<SpeedPoint>& points, const char* size) {
  Json list = Json::array();
  for (const SpeedPoint& point : points) {
    list.push_back({{size, point.size},
                    {"tokens_per_second", point.tokens_per_second},
                    {"ms", point.seconds * 1e3},
                    {"share_of_limit", point.share_of_limit}});
  }
  return list;
}

Json profile_json(const std::vector<OpProfile>& operations) {
  Json list = Json::array();
  for (const OpProfile& op : operations) {
    list.push_back({{"name", op.name}, {"calls", op.calls}, {"seconds", op.seconds}, {"bytes", op.bytes}});
  }
  return list;
}

std::string profile_text(const char* title, const std::vector<OpProfile>& operations) {
  double total = 0.0;
  for (const OpProfile& op : operations) total += op.seconds;
  std::string text = fmt::format("\n{:<24}{:>9}  {:>10}  {:>6}  {:>8}\n", title, "calls", "ms", "share", "GB/s");
  for (const OpProfile& op : operations) {
    text += fmt::format("  {:<22}{:>9}  {:>10.3f}  {:>5.1f}%  {:>8.2f}\n", op.name, op.calls, op.seconds * 1e3,
                        100.0 * op.seconds / total, static_cast<double>(op.bytes) / op.seconds / 1e9);
  }
  return text;
}

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

  const std::string name = flags.shape.empty() ? flags.model : flags.shape + " (random weights, " + flags.format + ")";
  const int threads = thread_pool_of(engine->ops()).size();
  if (flags.json) {
    Json document = {{"model", name},
                     {"device", "cpu"},
                     {"isa", isa_name(active_isa())},
                     {"threads", threads},
                     {"activations", flags.precision.activations},
                     {"head_bits", flags.precision.head_bits},
                     {"kv_bits", flags.precision.kv_bits},
                     {"weights_bytes", report.cost.weight_bytes},
                     {"kv_bytes_per_position", report.cost.kv_bytes},
                     {"prefill", points_json(report.prefill, "rows")},
                     {"decode", points_json(report.decode, "context")},
                     {"machine",
                      {{"read_gbps", report.machine.read_gb_per_s},
                       {"gmacs", report.machine.int8_gmac_per_s},
                       {"f32_gflops", report.machine.f32_gflop_per_s}}},
                     {"peak_memory_bytes", peak_memory()},
                     {"scratch_bytes", arena_bytes(engine->ops())},
                     {"default_bodies", engine->ops().default_bodies()}};
    if (flags.profile) {
      document["profile"] = {{"prefill", profile_json(report.prefill_profile)},
                             {"decode", profile_json(report.decode_profile)}};
    }
    write_json(document);
    return 0;
  }
  std::string text = fmt::format(
      "{}\n{}, {} threads; reads {:.1f} GB/s, {:.0f} G int8 multiply-adds/s, {:.0f} GFLOP/s f32\n"
      "{:.3f} GB of weights a token, {:.1f} kB of KV cache a position, peak memory {:.2f} GB, "
      "{} default bodies\n\n{:<20}{:>12}{:>12}{:>10}\n",
      name, isa_name(active_isa()), threads, report.machine.read_gb_per_s, report.machine.int8_gmac_per_s,
      report.machine.f32_gflop_per_s, static_cast<double>(report.cost.weight_bytes) / 1e9,
      static_cast<double>(report.cost.kv_bytes) / 1e3, static_cast<double>(peak_memory()) / 1e9,
      engine->ops().default_bodies(), "", "tokens/s", "ms", "of limit");
  const auto add = [&](const char* what, const char* unit, const std::vector<SpeedPoint>& points) {
    for (const SpeedPoint& point : points) {
      text += fmt::format("{:<20}{:>12.2f}{:>12.2f}{:>9.1f}%\n", fmt::format("{} {}{}", what, unit, point.size),
                          point.tokens_per_second, point.seconds * 1e3, 100.0 * point.share_of_limit);
    }
  };
  add("prefill", "", report.prefill);
  add("decode", "at ", report.decode);
  if (flags.profile) {
    text += profile_text("prefill", report.prefill_profile);
    text += profile_text("decode", report.decode_profile);
  }
  write_stdout(text);
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
            app.add_option("--rows", flags->speed.prefill_rows, "prefills of so many tokens")
                ->delimiter(',')
                ->allow_extra_args(false)
                ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
            app.add_option("--contexts", flags->speed.decode_contexts, "decoding behind so many tokens")
                ->delimiter(',')
                ->allow_extra_args(false)
                ->check(sizes);
            app.add_option("--tokens", flags->speed.decode_tokens, "decoded for each measurement")
                ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
                ->capture_default_str();
            app.add_option("--repeats", flags->speed.repeats, "of each measurement; medians are shown")
                ->check(CLI::Range(1, 1000))
                ->capture_default_str();
            app.add_flag("--profile", flags->profile, "time of each operation");
            app.add_flag("--json", flags->json, "one JSON document");
            return [flags, &common] { return run(*flags, common); };
          }};
}

}  // namespace paro::cli
