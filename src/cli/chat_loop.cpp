#include "cli/chat_loop.h"

#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/error.h"
#include "base/files.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/suggest.h"
#include "cli/terminal.h"
#include "runtime/thinking.h"

namespace paro::cli {
namespace {

constexpr std::string_view kHelp =
    "  /help               this text\n"
    "  /clear              forget the conversation, keep the system message\n"
    "  /system TEXT        set the system message (without TEXT: remove it)\n"
    "  /regen              another answer to the last message\n"
    "  /save FILE          write the conversation as JSON\n"
    "  /load FILE          read a conversation\n"
    "  /set                show the settings; /set NAME VALUE changes one\n"
    "  /exit               leave (also Ctrl-D)\n"
    "A line that ends with \\ goes on in the next one; \"\"\" begins and ends a block of lines; Alt-Enter breaks a "
    "line.\n"
    "Ctrl-C stops the answer.\n";

const std::vector<std::string> kCommands = {"/help", "/clear", "/system", "/regen", "/save",
                                            "/load", "/set",   "/exit",   "/quit",  "/bye"};

std::string trim(std::string text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  text.resize(end == std::string::npos ? 0 : end + 1);
  return text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
}

/// Writes pieces as they come: on a terminal thinking dimmed and no control characters, else the answer alone.
class AnswerWriter {
 public:
  AnswerWriter(bool opened, bool on_terminal) : splitter_(opened), on_terminal_(on_terminal) {}
  ~AnswerWriter() {
    if (dimmed_ && ::write(STDOUT_FILENO, kPlain.data(), kPlain.size()) < 0) return;
  }
  AnswerWriter(const AnswerWriter&) = delete;
  AnswerWriter& operator=(const AnswerWriter&) = delete;

  void push(std::string_view text) { write(splitter_.push(text)); }
  void finish() { write(splitter_.finish()); }

 private:
  void write(const std::vector<TextPiece>& pieces) {
    for (const TextPiece& piece : pieces) {
      if (piece.thinking && !on_terminal_) continue;
      std::string_view text = piece.text;
      if (piece.thinking != thinking_ || !begun_) {
        // The blank lines around the tags are the template's, not the answer's.
        text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
        if (text.empty()) continue;
        if (begun_ && thinking_) write_stdout("\n\n");
        style(piece.thinking);
        thinking_ = piece.thinking;
        begun_ = true;
      }
      if (on_terminal_) {
        write_stdout(without_controls(text));
      } else {
        write_stdout(text);
      }
    }
  }
  void style(bool thinking) {
    if (!stdout_has_style() || thinking == dimmed_) return;
    write_stdout(thinking ? kDim : kPlain);
    dimmed_ = thinking;
  }

  ThinkingSplitter splitter_;
  bool on_terminal_;
  bool thinking_ = false;
  bool begun_ = false;
  bool dimmed_ = false;
};

/// Ctrl-C at the prompt and in an answer is handled here; a SIGTERM ends the chat.
bool terminated() { return interrupt_flag() && interrupt_exit_code() != 128 + SIGINT; }

double parse_number(const std::string& name, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0') fail_usage("/set {}: expected a number, found '{}'", name, text);
  return value;
}

int64_t parse_integer(const std::string& name, const std::string& text) {
  const double value = parse_number(name, text);
  if (!(value >= -1e15 && value <= 1e15) || value != static_cast<double>(static_cast<int64_t>(value))) {
    fail_usage("/set {}: expected a whole number, found '{}'", name, text);
  }
  return static_cast<int64_t>(value);
}

}  // namespace

Json read_conversation(const std::string& file) {
  Json document = read_json(file);
  if (document.is_object() && document.contains("messages")) document = Json(document["messages"]);
  check_messages(document, file);
  return document;
}

GenerateResult stream_answer(const Engine&, Chat& chat, const ChatSettings& settings) {
  AnswerWriter writer(prompt_opens_thinking(chat.prompt()), stdout_is_terminal());
  GenerateOptions options;
  options.sampling = settings.sampling;
  options.max_tokens = settings.max_tokens;
  options.stop = settings.stop;
  options.ignore_eos = settings.ignore_eos;
  options.cancel = &interrupt_flag();
  options.on_text = [&](std::string_view piece) { writer.push(piece); };
  GenerateResult result = chat.answer(options);
  writer.finish();
  return result;
}

ChatLoop::ChatLoop(const Engine& engine, Chat& chat, ChatSettings settings)
    : engine_(engine),
      chat_(chat),
      settings_(std::move(settings)),
      history_(History::default_path()),
      editor_(STDIN_FILENO, STDOUT_FILENO, history_),
      style_(stdout_has_style()) {}

void ChatLoop::note(const std::string& text) const {
  write_stdout(style_ ? std::string(kDim) + text + std::string(kPlain) + "\n" : text + "\n");
}

/// One message, which may take several lines; nothing when the chat ends.
std::optional<std::string> ChatLoop::read_message() {
  const std::string first_prompt = style_ ? std::string(kBold) + "> " + std::string(kPlain) : "> ";
  std::string message;
  bool block = false;
  bool more = false;
  bool warned = false;
  while (true) {
    std::string line;
    switch (editor_.read(more ? ". " : first_prompt, line)) {
      case LineEditor::Result::kEnd: return std::nullopt;
      case LineEditor::Result::kInterrupted:
        if (line.empty() && !more) {
          if (warned) return std::nullopt;
          note("(Ctrl-C again or Ctrl-D leaves)");
          warned = true;
        } else {
          message.clear();
          block = more = false;
        }
        continue;
      case LineEditor::Result::kLine: break;
    }
    warned = false;
    if (!block && !more && line.starts_with("\"\"\"")) {
      block = more = true;
      line.erase(0, 3);
      if (line.empty()) continue;
    }
    if (block) {
      const bool last = line.ends_with("\"\"\"");
      if (last) line.resize(line.size() - 3);
      message += line;
      if (!last) {
        message += '\n';
        continue;
      }
    } else if (line.ends_with('\\')) {
      line.back() = '\n';
      message += line;
      more = true;
      continue;
    } else {
      message += line;
    }
    message = trim(message);
    if (!message.empty()) {
      history_.add(message);
      return message;
    }
    block = more = false;
  }
}

int ChatLoop::run() {
  note("chatting with " + engine_.checkpoint().name + "; /help shows what can be typed");
  while (true) {
    const std::optional<std::string> message = read_message();
    if (terminated()) throw Interrupted{};
    if (!message) return 0;
    try {
      if (message->starts_with('/') && message->find('\n') == std::string::npos) {
        if (command(*message)) return 0;
      } else {
        chat_.add_user(*message);
        answer();
      }
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kDefect) throw;
      note(fmt::format("error: {}", error.what()));
    }
  }
}

void ChatLoop::answer() {
  clear_interrupt();
  GenerateResult result;
  try {
    const TypingHidden hidden;
    result = stream_answer(engine_, chat_, settings_);
  } catch (const Error&) {
    // A question that cannot be answered (too long, refused by the template) does not stay in the way.
    chat_.drop_last();
    throw;
  }
  ++settings_.sampling.seed;
  write_stdout("\n");
  if (terminated()) throw Interrupted{};
  std::string text = fmt::format("[{} tokens, {:.1f} tokens/s; prompt {} tokens, {} of them new, {:.1f} tokens/s",
                                 result.ids.size(), result.decode_rate(), result.prompt_tokens,
                                 result.prompt_tokens - result.reused_tokens, result.prefill_rate());
  if (result.finish == FinishReason::kCancelled) text += "; stopped";
  if (result.finish == FinishReason::kMaxTokens) text += "; the limit of -n";
  if (result.finish == FinishReason::kContext) text += "; the context is full, /clear starts over";
  note(text + "]");
  clear_interrupt();
}

bool ChatLoop::command(const std::string& line) {
  const size_t blank = std::min(line.find_first_of(" \t"), line.size());
  const std::string name = line.substr(0, blank);
  const std::string arguments = trim(line.substr(blank));
  if (name == "/exit" || name == "/quit" || name == "/bye") return true;
  if (name == "/help" || name == "/?") {
    write_stdout(kHelp);
  } else if (name == "/clear") {
    chat_.clear();
    note("(cleared)");
  } else if (name == "/system") {
    chat_.set_system(arguments);
    note(arguments.empty() ? "(no system message)" : "(system message set)");
  } else if (name == "/regen") {
    if (chat_.messages().empty() || (!chat_.drop_answer() && chat_.messages().back()["role"] != "user")) {
      fail_usage("/regen: there is no answer yet");
    }
    answer();
  } else if (name == "/save") {
    if (arguments.empty()) fail_usage("/save: expected a file name");
    write_file(arguments, dump_json({{"model", engine_.checkpoint().name}, {"messages", chat_.messages()}}, 2) + "\n");
    note(fmt::format("({} messages written to {})", chat_.messages().size(), arguments));
  } else if (name == "/load") {
    if (arguments.empty()) fail_usage("/load: expected a file name");
    chat_.set_messages(read_conversation(arguments), arguments);
    note(fmt::format("({} messages)", chat_.messages().size()));
  } else if (name == "/set") {
    set(arguments);
  } else {
    fail_usage("unknown command '{}'{} (/help lists them)", name, did_you_mean(name, kCommands));
  }
  return false;
}

void ChatLoop::set(const std::string& arguments) {
  SamplingParams& s = settings_.sampling;
  if (arguments.empty()) {
    write_stdout(
        fmt::format("  temperature {}\n  top_k {}\n  top_p {}\n  min_p {}\n  repetition_penalty {}\n"
                    "  presence_penalty {}\n  frequency_penalty {}\n  seed {}\n  max_tokens {}\n",
                    s.temperature, s.top_k, s.top_p, s.min_p, s.repetition_penalty, s.presence_penalty,
                    s.frequency_penalty, s.seed, settings_.max_tokens));
    return;
  }
  const size_t blank = std::min(arguments.find_first_of(" \t="), arguments.size());
  std::string name = arguments.substr(0, blank);
  for (char& c : name) c = c == '-' ? '_' : c;
  const std::string value = trim(arguments.substr(std::min(blank + 1, arguments.size())));
  SamplingParams changed = s;
  const std::pair<const char*, double*> numbers[] = {{"temperature", &changed.temperature},
                                                     {"top_p", &changed.top_p},
                                                     {"min_p", &changed.min_p},
                                                     {"repetition_penalty", &changed.repetition_penalty},
                                                     {"presence_penalty", &changed.presence_penalty},
                                                     {"frequency_penalty", &changed.frequency_penalty}};
  std::vector<std::string> names = {"top_k", "seed", "max_tokens"};
  bool found = false;
  for (const auto& [number_name, number] : numbers) {
    names.push_back(number_name);
    if (name != number_name) continue;
    *number = parse_number(name, value);
    found = true;
  }
  if (name == "top_k") {
    changed.top_k = parse_integer(name, value);
  } else if (name == "seed") {
    changed.seed = static_cast<uint64_t>(parse_integer(name, value));
  } else if (name == "max_tokens") {
    settings_.max_tokens = std::max<int64_t>(-1, parse_integer(name, value));
  } else if (!found) {
    fail_usage("/set: no setting '{}'{}", name, did_you_mean(name, names));
  }
  changed.check();
  s = changed;
}

}  // namespace paro::cli
