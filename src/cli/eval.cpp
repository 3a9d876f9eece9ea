// paro eval: tasks that measure a model. One function per task; the measures themselves are in runtime/evaluate.h.
#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "calib/failure_signs.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "runtime/evaluate.h"

namespace paro::cli {
namespace {

struct Flags {
  ModelFlags model;
  std::vector<std::string> tasks;
  std::vector<std::string> texts;
  std::string teacher;
  EvalOptions options;
  std::optional<std::string> precision_tokens;
  bool json = false;
};

constexpr int64_t kPrecisionWindows = 2;

const std::vector<std::string> kTasks = {"perplexity", "kl"};

std::vector<int32_t> ids_of(const Engine& engine, const Engine* teacher, const std::vector<std::string>& files) {
  std::vector<std::string> texts;
  for (const std::string& file : files) texts.push_back(read_file(file));
  std::vector<int32_t> ids = eval_ids(engine, texts);
  if (teacher != nullptr && eval_ids(*teacher, texts) != ids) {
    fail_input("{}: its tokenizer cuts the text into other tokens than that of {}", teacher->checkpoint().name,
               engine.checkpoint().name);
  }
  return ids;
}

void finish(const PerplexityResult& result) {
  if (result.cancelled) throw Interrupted{fmt::format("{} windows were done", result.windows)};
}

/// The first tokens on which precisions are compared, at most; 0: none.
int64_t precision_tokens(const Flags& flags) {
  constexpr int64_t kAll = std::numeric_limits<int64_t>::max();
  if (!flags.precision_tokens) return kPrecisionWindows * flags.options.window;
  const std::string& text = *flags.precision_tokens;
  if (text == "all") return kAll;
  int64_t tokens = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), tokens);
  if (error != std::errc() || end != text.data() + text.size() || tokens < 0)
    fail_usage("--precision-tokens: expected a number of tokens or \"all\", found \"{}\"", text);
  if (tokens > 0 && tokens < flags.options.window)
    fail_usage("--precision-tokens {}: less than one window of {}", tokens, flags.options.window);
  return tokens;
}

/// "8-bit head": what runs in less than full precision.
std::string precision_label(const Flags& flags, const std::string& what) {
  const PrecisionFlags& precision = flags.model.precision;
  if (what == "activations") return precision.activations + " activations";
  if (what == "head") return (precision.head_bits == "4" ? "4" : "8") + std::string("-bit head");
  return fmt::format("{}-bit KV cache", precision.kv_bits);
}

/// What the precision of everything but the weights costs: into `result` and `text`.
void report_precision(const Flags& flags, const PrecisionResult& precision, Json& result, std::string& text) {
  const int64_t tokens = precision.windows * flags.options.window;
  Json json = {{"tokens", tokens}, {"seconds", precision.seconds}, {"kl_weights", precision.weights_kl}};
  text += fmt::format("of it, on the first {} tokens:\n  {:<20}  {:.5f} nats\n", tokens, "weights alone",
                      precision.weights_kl);
  for (const PrecisionLoss& loss : precision.losses) {
    const std::string label = precision_label(flags, loss.what);
    json[loss.what] = {{"what", label}, {"kl_added", loss.kl}, {"share", loss.share ? Json(*loss.share) : Json()}};
    text += fmt::format("  {:<20} {:+.5f} nats", label, loss.kl);
    text += loss.share ? fmt::format(" ({:.1f} % of the weights')\n", 100.0 * *loss.share) : std::string("\n");
    if (loss.what == "activations" && loss.share && *loss.share > kActivationShareLimit) {
      log_warning("{} add {:.1f} % to the KL of the weights, more than {:.0f} %: --activations f16 avoids it", label,
                  100.0 * *loss.share, 100.0 * kActivationShareLimit);
    }
  }
  result["precision"] = std::move(json);
}

int run(Flags& flags, const CommonFlags& common) {
  const bool kl = std::find(flags.tasks.begin(), flags.tasks.end(), "kl") != flags.tasks.end();
  if (kl && flags.teacher.empty()) fail_usage("--task kl: --teacher MODEL is needed: the model to compare with");
  if (!kl && !flags.teacher.empty()) fail_usage("--teacher: only --task kl uses one");
  if (!kl && flags.precision_tokens) fail_usage("--precision-tokens: only --task kl uses it");
  const int64_t compared = precision_tokens(flags);
  EngineOptions options = flags.model.engine_options(common);
  options.keep_stored_head = compared > 0;
  const std::unique_ptr<Engine> engine = Engine::load(flags.model.model, options);
  std::unique_ptr<Engine> teacher;
  if (kl) {
    EngineOptions teacher_options = options;
    teacher_options.ops = engine->shared_ops();
    teacher_options.head_bits = HeadBits::k16;
    teacher_options.kv_bits = KvBits::k16;
    teacher = Engine::load(flags.teacher, teacher_options);
  }
  const std::vector<int32_t> ids = ids_of(*engine, teacher.get(), flags.texts);
  flags.options.cancel = &interrupt_flag();

  Json result = {
      {"model", flags.model.model}, {"task", flags.tasks}, {"text", flags.texts}, {"window", flags.options.window}};
  std::string text;
  const auto perplexity = [&](const PerplexityResult& p) {
    finish(p);
    result["perplexity"] = p.perplexity;
    result["tokens"] = p.tokens;
    result["windows"] = p.windows;
    result["seconds"] = p.seconds;
    text += fmt::format("perplexity        {:.4f}\ntokens scored     {} in {} windows of {}\n", p.perplexity, p.tokens,
                        p.windows, flags.options.window);
  };
  if (kl) {
    const KlResult k = evaluate_kl(*engine, *teacher, ids, flags.options);
    perplexity(k.student);
    result["teacher"] = flags.teacher;
    result["teacher_perplexity"] = k.teacher_perplexity;
    result["perplexity_ratio"] = k.student.perplexity / k.teacher_perplexity;
    result["kl_mean"] = k.kl_mean;
    result["kl_p99"] = k.kl_p99;
    result["top1_agreement"] = k.top1_agreement;
    result["positions"] = k.positions;
    const std::vector<calib::FailureSign> signs = calib::perplexity_signs(k.student.perplexity / k.teacher_perplexity);
    result["warnings"] = calib::signs_json(signs);
    for (const calib::FailureSign& sign : signs) log_warning("{}: {}", sign.message, sign.advice);
    text += fmt::format(
        "teacher           {:.4f} (ratio {:.4f})\nKL to the teacher {:.5f} nats (99th percentile {:.4f})\n"
        "same top token    {:.2f} %\n",
        k.teacher_perplexity, k.student.perplexity / k.teacher_perplexity, k.kl_mean, k.kl_p99,
        100.0 * k.top1_agreement);
    if (compared > 0 && !engine->config().quantization.method.empty()) {
      EvalOptions first = flags.options;
      first.limit_tokens = first.limit_tokens > 0 ? std::min(first.limit_tokens, compared) : compared;
      const PrecisionResult precision = evaluate_precision(*engine, *teacher, ids, first);
      if (precision.cancelled) throw Interrupted{"precisions were being compared"};
      if (!precision.losses.empty()) report_precision(flags, precision, result, text);
    }
  } else {
    perplexity(evaluate_perplexity(*engine, ids, flags.options));
  }
  if (flags.json) {
    write_json(result);
  } else {
    write_stdout(text);
  }
  return 0;
}

}  // namespace

Command eval_command() {
  return {"eval", "measure a model: perplexity of a text, KL divergence from a teacher",
          "paro eval MODEL --task perplexity --text wiki.test.raw\n"
          "paro eval QUANTIZED --task kl --teacher ORIGINAL --text wiki.test.raw --limit-tokens 32768 --json",
          [](CLI::App& app, const CommonFlags& common) {
            const auto flags = std::make_shared<Flags>();
            flags->model.add(app, false);
            app.add_option("--task", flags->tasks, "perplexity, kl (with commas between)")
                ->required()
                ->delimiter(',')
                ->allow_extra_args(false)
                ->check(CLI::IsMember(kTasks));
            app.add_option("--text", flags->texts, "FILE with plain text (repeatable)")
                ->required()
                ->allow_extra_args(false);
            app.add_option("--teacher", flags->teacher, "MODEL that the divergence is measured from");
            app.add_option("--window", flags->options.window, "tokens of a window")
                ->check(CLI::Range(int64_t{2}, int64_t{1} << 24))
                ->capture_default_str();
            app.add_option("--limit-tokens", flags->options.limit_tokens, "only the first N tokens (0: all)")
                ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
                ->capture_default_str();
            app.add_option(
                "--precision-tokens", flags->precision_tokens,
                "with kl: the first tokens on which what int8 activations, a rounded head and an 8-bit cache "
                "add is measured: N, all, or 0 for not; default: two windows");
            app.add_flag("--json", flags->json, "one JSON document");
            return [flags, &common] { return run(*flags, common); };
          }};
}

}  // namespace paro::cli
