// paro tokenize: text to ids and back, and chat templates rendered.
#include <charconv>

#include "base/error.h"
#include "base/files.h"
#include "cli/command.h"
#include "cli/output.h"
#include "io/checkpoint.h"
#include "model/open_checkpoint.h"
#include "runtime/chat.h"

namespace paro::cli {
namespace {

struct Flags {
  std::string model;
  std::optional<std::string> text;
  std::string chat;
  bool decode = false;
  bool no_special = false;
  bool json = false;
};

/// "[1, 2, 3]", or the numbers alone with blanks or commas between them.
std::vector<int32_t> parse_ids(const std::string& text, int64_t vocab) {
  std::vector<int32_t> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto skip = [&](std::string_view these) {
    while (at != end && these.find(*at) != std::string_view::npos) ++at;
  };
  skip(" \t\r\n[");
  while (at != end && *at != ']') {
    int64_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc{}) {
      fail_input("standard input: expected token ids, found '{}'", std::string(at, std::min<size_t>(end - at, 20)));
    }
    if (id < 0 || id >= vocab) fail_input("standard input: token id {} is outside the vocabulary of {}", id, vocab);
    ids.push_back(static_cast<int32_t>(id));
    at = next;
    skip(" \t\r\n,");
  }
  skip(" \t\r\n]");
  if (at != end) fail_input("standard input: unexpected text after the list of ids");
  return ids;
}

std::string render(const Checkpoint& checkpoint, const Tokenizer& tokenizer, const std::string& file) {
  const auto chat_template = checkpoint.make_chat_template();
  if (chat_template == nullptr) fail_input("{}: has no chat template", checkpoint.name);
  Json document = read_json(file);
  Json messages = document;
  Json arguments = Json::object();
  if (document.is_object()) {
    if (!document.contains("messages")) fail_input("{}: expected a list of messages or an object with one", file);
    messages = document["messages"];
    document.erase("messages");
    arguments = std::move(document);
  }
  check_messages(messages, file);
  const bool answered = !messages.empty() && messages.back()["role"] == "assistant";
  return render_chat(*chat_template, tokenizer, messages, !answered, arguments);
}

int run(const Flags& flags, const CommonFlags& common) {
  const Checkpoint checkpoint = open_checkpoint(flags.model, {.config = false, .weights = false}, common.hub());
  const std::unique_ptr<const Tokenizer> tokenizer = checkpoint.make_tokenizer();
  if (flags.decode) {
    const std::string input = flags.text ? *flags.text : read_stdin();
    const std::string text = tokenizer->decode(parse_ids(input, tokenizer->vocab_size()), flags.no_special);
    if (flags.json) {
      write_json({{"text", text}});
    } else {
      write_stdout(text);
    }
    return 0;
  }
  if (!flags.chat.empty()) {
    const std::string text = render(checkpoint, *tokenizer, flags.chat);
    if (flags.json) {
      write_json({{"text", text}, {"ids", tokenizer->encode(text, false)}});
    } else {
      write_stdout(text);
    }
    return 0;
  }
  const std::string text = flags.text ? *flags.text : read_stdin();
  const Json ids = tokenizer->encode(text, !flags.no_special);
  write_stdout(flags.json ? dump_json({{"ids", ids}, {"tokens", ids.size()}}) + "\n" : dump_json(ids) + "\n");
  return 0;
}

}  // namespace

Command tokenize_command() {
  return {"tokenize", "text on standard input to token ids as JSON, and back; renders chat templates",
          "echo -n 'Hello' | paro tokenize MODEL\necho '[19556]' | paro tokenize MODEL --decode\n"
          "paro tokenize MODEL --chat messages.json",
          [](CLI::App& app, const CommonFlags& common) {
            const auto flags = std::make_shared<Flags>();
            app.add_option("MODEL", flags->model, "checkpoint folder, .gguf file or hub id")->required();
            app.add_option("--text", flags->text, "this instead of standard input");
            auto* decode = app.add_flag("--decode", flags->decode, "ids to text");
            app.add_option("--chat", flags->chat,
                           "FILE.json: a list of messages, or an object with messages and the template's other "
                           "variables (tools, add_generation_prompt, ...); prints the text")
                ->excludes(decode);
            app.add_flag("--no-special", flags->no_special,
                         "no BOS and EOS around the text; with --decode: special tokens left out");
            app.add_flag("--json", flags->json, "one JSON object instead of the bare result");
            return [flags, &common] { return run(*flags, common); };
          }};
}

}  // namespace paro::cli
