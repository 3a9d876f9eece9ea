// paro generate: raw completion of a prompt, without a chat template.
#include "runtime/generate.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "calib/self_text.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"

namespace paro::cli {
namespace {

struct Flags {
  ModelFlags model;
  SamplingFlags sampling;
  std::optional<std::string> prompt;
  int64_t max_tokens = -1;
  bool no_special = false;
  int64_t samples = 0;
  std::string output;
  bool json = false;
};

/// --samples: text drawn at temperature 1 from the start of a document, many at once, for measuring and calibrating on.
int run_samples(const Flags& flags, const CommonFlags& common) {
  if (flags.output.empty()) fail_usage("--samples: -o FILE is required");
  if (flags.max_tokens < 1) fail_usage("--samples: expected -n TOKENS of each, found {}", flags.max_tokens);
  if (flags.prompt) fail_usage("--samples: starts documents of its own, without --prompt");
  const std::unique_ptr<Engine> engine = flags.model.load(common);
  std::vector<int32_t> starts;
  for (const std::string& token : {engine->tokenizer().bos_token(), engine->tokenizer().eos_token()})
    if (const auto id = engine->tokenizer().token_to_id(token)) starts.push_back(*id);
  if (starts.empty()) starts.push_back(0);
  const uint64_t seed = flags.sampling.seed.value_or(0);
  const std::vector<int32_t> ids = calib::sample_text(engine->model(), engine->ops(), starts,
                                                      {flags.samples, flags.max_tokens, seed, &interrupt_flag()});
  if (ids.empty()) throw Interrupted{};
  std::string text;
  for (int64_t i = 0; i < flags.samples; ++i)
    text += engine->tokenizer().decode(std::span(ids).subspan(static_cast<size_t>(i * flags.max_tokens),
                                                              static_cast<size_t>(flags.max_tokens)),
                                       true) +
            "\n\n";
  write_file(flags.output, text);
  if (flags.json) write_json({{"file", flags.output}, {"tokens", ids.size()}, {"seed", seed}});
  return 0;
}

Json document(const Flags& flags, const GenerateResult& result, const SamplingParams& sampling) {
  return {{"model", flags.model.model},
          {"text", result.text},
          {"ids", result.ids},
          {"finish_reason", finish_name(result.finish)},
          {"seed", sampling.seed},
          {"temperature", sampling.temperature},
          {"prompt_tokens", result.prompt_tokens},
          {"completion_tokens", result.ids.size()},
          {"timings",
           {{"prefill_seconds", result.prefill_seconds},
            {"prefill_tokens_per_second", result.prefill_rate()},
            {"decode_seconds", result.decode_seconds},
            {"decode_tokens_per_second", result.decode_rate()}}}};
}

int run(const Flags& flags, const CommonFlags& common) {
  if (flags.samples > 0) return run_samples(flags, common);
  if (!flags.prompt) fail_usage("--prompt is required");
  const std::string prompt = prompt_text(*flags.prompt);
  GenerateOptions options;
  // Sampling is asked for by any of its flags; without them the most likely text is the reproducible answer.
  const SamplingFlags& s = flags.sampling;
  const bool sampled = s.top_k || s.top_p || s.min_p || s.seed;
  options.sampling = s.over({.temperature = sampled ? 1.0 : 0.0});
  options.max_tokens = flags.max_tokens;
  options.stop = s.stop;
  options.ignore_eos = s.ignore_eos;
  options.cancel = &interrupt_flag();
  const std::unique_ptr<Engine> engine = flags.model.load(common);
  const std::vector<int32_t> ids = engine->tokenizer().encode(prompt, !flags.no_special);
  Sequence sequence(*engine, flags.model.context);
  if (!flags.json) options.on_text = [](std::string_view piece) { write_stdout(piece); };
  const GenerateResult result = generate(*engine, sequence, ids, options);
  if (flags.json) {
    write_json(document(flags, result, options.sampling));
  } else {
    write_stdout("\n");
    log_info("{} tokens of prompt at {:.1f} tokens/s, {} tokens at {:.1f} tokens/s ({})", result.prompt_tokens,
             result.prefill_rate(), result.ids.size(), result.decode_rate(), finish_name(result.finish));
  }
  if (result.finish == FinishReason::kCancelled) throw Interrupted{};
  return 0;
}

}  // namespace

Command generate_command() {
  return {"generate", "continue a text, without a chat template",
          "paro generate MODEL --prompt 'Once upon a time' -n 100 --temperature 0.8 --seed 1",
          [](CLI::App& app, const CommonFlags& common) {
            const auto flags = std::make_shared<Flags>();
            flags->model.add(app);
            app.add_option("-p,--prompt", flags->prompt, "TEXT, @FILE, or - for standard input");
            app.add_option("--samples", flags->samples, "instead of a prompt: N texts of -n tokens each into a file")
                ->check(CLI::Range(1, 100000));
            app.add_option("-o,--output", flags->output, "the file of --samples");
            app.add_option("-n,--max-tokens", flags->max_tokens, "tokens at most (-1: until the model ends)")
                ->check(CLI::Range(int64_t{-1}, int64_t{1} << 31))
                ->capture_default_str();
            app.add_flag("--no-special", flags->no_special, "no BOS before the prompt");
            app.add_flag("--json", flags->json, "one JSON document with text, ids, finish_reason and timings");
            flags->sampling.add(app);
            return [flags, &common] { return run(*flags, common); };
          }};
}

}  // namespace paro::cli
