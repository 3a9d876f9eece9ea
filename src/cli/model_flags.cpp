#include "cli/model_flags.h"

#include <random>

#include "base/error.h"
#include "base/files.h"
#include "cli/output.h"

namespace paro::cli {

void PrecisionFlags::add(CLI::App& app) {
  app.add_option("--activations", activations,
                 "in products with 4-bit weights: int8 (fast), f16 (rounded once, exact products) or f32 (exact)")
      ->check(CLI::IsMember({"int8", "f16", "f32"}))
      ->capture_default_str();
  app.add_option(
         "--head-bits", head_bits,
         "of the output head: 16 (as stored), 8, 4 (loses quality that shows), or auto (8 for a quantized model "
         "with int8 activations)")
      ->check(CLI::IsMember({"auto", "4", "8", "16"}))
      ->capture_default_str();
  app.add_option("--kv-bits", kv_bits,
                 "of cached keys and values: 16 (f16), or 8 (half the memory, faster far into a text)")
      ->check(CLI::IsMember({8, 16}))
      ->capture_default_str();
  app.add_flag("--no-prepared-cache", no_prepared_cache,
               "neither uses nor writes the file of packed weights that makes the next start fast");
}

void PrecisionFlags::apply(EngineOptions& options) const {
  options.cpu.activations = activations == "f32"   ? Activations::kF32
                            : activations == "f16" ? Activations::kF16
                                                   : Activations::kInt8;
  options.head_bits = head_bits == "4"    ? HeadBits::k4
                      : head_bits == "8"  ? HeadBits::k8
                      : head_bits == "16" ? HeadBits::k16
                                          : HeadBits::kAuto;
  options.kv_bits = kv_bits == 8 ? KvBits::k8 : KvBits::k16;
  if (!no_prepared_cache) options.prepared = PreparedOptions::from_environment();
}

void ModelFlags::add(CLI::App& app, bool with_context) {
  app.add_option("MODEL", model, "checkpoint folder, .gguf file or hub id (org/name[@revision])")->required();
  precision.add(app);
  if (!with_context) return;
  app.add_option("--context", context, "positions to hold (0: the model's own limit)")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 31))
      ->capture_default_str();
}

EngineOptions ModelFlags::engine_options(const CommonFlags& common) const {
  EngineOptions options;
  options.cpu.threads = common.threads;
  precision.apply(options);
  options.hub = common.hub();
  return options;
}

std::unique_ptr<Engine> ModelFlags::load(const CommonFlags& common) const {
  return Engine::load(model, engine_options(common));
}

void SamplingFlags::add(CLI::App& app) {
  const auto group = [](CLI::Option* option) { option->group("Sampling"); };
  group(app.add_option("--temperature,--temp", temperature, "0: always the most likely token"));
  group(app.add_option("--top-k", top_k, "only the K most likely tokens (0: all)"));
  group(app.add_option("--top-p", top_p, "only the most likely tokens that make up P of the probability"));
  group(app.add_option("--min-p", min_p, "only tokens at least P times as likely as the most likely one"));
  group(app.add_option("--repetition-penalty", repetition_penalty, "divides logits of tokens seen (1: off)"));
  group(app.add_option("--presence-penalty", presence_penalty, "subtracted from logits of tokens in the answer"));
  group(app.add_option("--frequency-penalty", frequency_penalty, "the same for each time a token occurs there"));
  group(app.add_option("--seed", seed, "the same seed gives the same text on the same machine"));
  group(app.add_option("--stop", stop, "ends the text before this string (repeatable)")->allow_extra_args(false));
  group(app.add_flag("--ignore-eos", ignore_eos, "goes on where the model would end"));
}

SamplingParams SamplingFlags::over(SamplingParams base) const {
  base.temperature = temperature.value_or(base.temperature);
  base.top_k = top_k.value_or(base.top_k);
  base.top_p = top_p.value_or(base.top_p);
  base.min_p = min_p.value_or(base.min_p);
  base.repetition_penalty = repetition_penalty.value_or(base.repetition_penalty);
  base.presence_penalty = presence_penalty.value_or(base.presence_penalty);
  base.frequency_penalty = frequency_penalty.value_or(base.frequency_penalty);
  base.seed = seed.value_or(base.seed);
  base.check();
  return base;
}

std::string prompt_text(const std::string& argument) {
  if (argument == "-") return read_stdin();
  if (argument.size() > 1 && argument[0] == '@') return read_file(argument.substr(1), int64_t{64} << 20);
  return argument;
}

uint64_t random_seed() {
  std::random_device device;
  return device();
}

}  // namespace paro::cli
