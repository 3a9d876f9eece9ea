// paro chat: a conversation in the terminal, or one answer for --prompt or piped text.
#include "base/error.h"
#include "base/log.h"
#include "cli/chat_loop.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/terminal.h"

namespace paro::cli {
namespace {

// A second and third Ctrl-C in an answer are still meant for the answer.
constexpr int kForceAfter = 4;

struct Flags {
  ModelFlags model;
  SamplingFlags sampling;
  std::optional<std::string> prompt;
  std::string system;
  std::string load;
  std::string template_arguments;
  int64_t max_tokens = -1;
};

int answer_once(const Engine& engine, Chat& chat, const ChatSettings& settings) {
  const GenerateResult result = stream_answer(engine, chat, settings);
  write_stdout("\n");
  log_info("{} tokens, {:.1f} tokens/s; prompt {} tokens, {:.1f} tokens/s ({})", result.ids.size(),
           result.decode_rate(), result.prompt_tokens, result.prefill_rate(), finish_name(result.finish));
  if (result.finish == FinishReason::kCancelled) throw Interrupted{};
  return 0;
}

int run(const Flags& flags, const CommonFlags& common) {
  const bool interactive = !flags.prompt && stdin_is_terminal() && stdout_is_terminal();
  std::string message;
  if (!interactive) {
    message = prompt_text(flags.prompt.value_or("-"));
    if (!flags.prompt || *flags.prompt == "-") {
      while (!message.empty() && (message.back() == '\n' || message.back() == '\r')) message.pop_back();
    }
    if (message.empty()) fail_usage("the prompt is empty");
  }
  ChatSettings settings;
  settings.sampling = flags.sampling.over({});  // wrong flags are told before the model loads
  const std::unique_ptr<Engine> engine = flags.model.load(common);
  const SamplingParams fallback = {.temperature = 0.7, .top_p = 0.95, .seed = random_seed()};
  settings.sampling = flags.sampling.over(engine->sampling_defaults(fallback));
  settings.max_tokens = flags.max_tokens;
  settings.stop = flags.sampling.stop;
  settings.ignore_eos = flags.sampling.ignore_eos;
  Chat chat(*engine, flags.model.context);
  if (!flags.template_arguments.empty()) {
    Json arguments = parse_json(flags.template_arguments, "--template-args");
    if (!arguments.is_object()) fail_usage("--template-args: expected a JSON object, found {}", json_kind(arguments));
    chat.set_template_arguments(std::move(arguments));
  }
  if (!flags.load.empty()) chat.set_messages(read_conversation(flags.load), flags.load);
  if (!flags.system.empty()) chat.set_system(flags.system);
  if (interactive) {
    handle_interrupts(kForceAfter);
    return ChatLoop(*engine, chat, settings).run();
  }
  chat.add_user(message);
  return answer_once(*engine, chat, settings);
}

}  // namespace

Command chat_command() {
  return {"chat", "talk to a model in the terminal; --prompt answers once",
          "paro chat MODEL\nparo chat MODEL --prompt 'Why is the sky blue?' -n 200\ncat letter.txt | paro chat MODEL "
          "--system 'Summarise.'",
          [](CLI::App& app, const CommonFlags& common) {
            const auto flags = std::make_shared<Flags>();
            flags->model.add(app);
            app.add_option("-p,--prompt", flags->prompt,
                           "answers once: TEXT, @FILE, or - for standard input (the default when text is piped in)");
            app.add_option("-n,--max-tokens", flags->max_tokens, "tokens of an answer at most (-1: until it ends)")
                ->check(CLI::Range(int64_t{-1}, int64_t{1} << 31))
                ->capture_default_str();
            app.add_option("--system", flags->system, "the system message");
            app.add_option("--load", flags->load, "FILE written by /save: the conversation to go on with");
            app.add_option("--template-args", flags->template_arguments,
                           "JSON object with variables of the chat template, e.g. {\"enable_thinking\": false}");
            flags->sampling.add(app);
            return [flags, &common] { return run(*flags, common); };
          }};
}

}  // namespace paro::cli
