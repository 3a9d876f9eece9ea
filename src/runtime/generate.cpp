#include "runtime/generate.h"

#include <chrono>

#include "base/error.h"
#include "runtime/stop_text.h"

namespace paro {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Text on its way to the caller: ids, whole characters, minus stop strings.
class AnswerText {
 public:
  AnswerText(const Engine& engine, const GenerateOptions& options, std::string& text)
      : decoder_(engine.tokenizer()), stop_(options.stop), options_(options), text_(text) {}

  /// False once a stop string was found.
  bool push(int32_t id) {
    show(stop_.push(decoder_.push(id)));
    return !stop_.found();
  }
  /// False when the last characters complete a stop string.
  bool finish() {
    if (stop_.found()) return false;
    show(stop_.push(decoder_.finish()));
    if (stop_.found()) return false;
    show(stop_.finish());
    return true;
  }

 private:
  void show(const std::string& piece) {
    if (piece.empty()) return;
    text_ += piece;
    if (options_.on_text) options_.on_text(piece);
  }

  StreamDecoder decoder_;
  StopText stop_;
  const GenerateOptions& options_;
  std::string& text_;
};

void check_prompt(const Engine& engine, const Sequence& sequence, std::span<const int32_t> prompt) {
  if (prompt.empty()) fail_input("the prompt is empty: there is nothing to continue");
  engine.check_ids(prompt);
  if (static_cast<int64_t>(prompt.size()) > sequence.capacity()) {
    fail_input("the prompt has {} tokens; the context of {} holds {}", prompt.size(), engine.checkpoint().name,
               sequence.capacity());
  }
}

/// An error about the logits names the model.
int32_t next_token(const Engine& engine, Sampler& sampler, std::span<const float> logits) {
  try {
    return sampler.sample(logits);
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("{}: {}", engine.checkpoint().name, error.what()));
  }
}

}  // namespace

std::string_view finish_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEos: return "eos";
    case FinishReason::kStopString: return "stop";
    case FinishReason::kMaxTokens: return "length";
    case FinishReason::kContext: return "context";
    case FinishReason::kCancelled: return "cancelled";
  }
  return "";
}

double GenerateResult::prefill_rate() const {
  return prefill_seconds > 0.0 ? static_cast<double>(prompt_tokens - reused_tokens) / prefill_seconds : 0.0;
}

double GenerateResult::decode_rate() const {
  return decode_seconds > 0.0 && ids.size() > 1 ? static_cast<double>(ids.size() - 1) / decode_seconds : 0.0;
}

GenerateResult generate(const Engine& engine, Sequence& sequence, std::span<const int32_t> prompt,
                        const GenerateOptions& options) {
  check_prompt(engine, sequence, prompt);
  Sampler sampler(options.sampling);
  sampler.add_prompt(prompt);
  GenerateResult result;
  AnswerText answer(engine, options, result.text);
  result.prompt_tokens = static_cast<int64_t>(prompt.size());

  auto start = Clock::now();
  result.reused_tokens = sequence.keep_common(prompt);
  std::span<const float> logits =
      sequence.feed(prompt.subspan(static_cast<size_t>(result.reused_tokens)), options.cancel);
  result.prefill_seconds = seconds_since(start);

  start = Clock::now();
  while (true) {
    if (logits.empty() || (options.cancel != nullptr && *options.cancel)) {
      result.finish = FinishReason::kCancelled;
      break;
    }
    if (options.max_tokens >= 0 && static_cast<int64_t>(result.ids.size()) >= options.max_tokens) {
      result.finish = FinishReason::kMaxTokens;
      break;
    }
    const int32_t id = next_token(engine, sampler, logits);
    if (!options.ignore_eos && engine.is_eos(id)) {
      result.finish = FinishReason::kEos;
      break;
    }
    sampler.add_answer(id);
    result.ids.push_back(id);
    if (!answer.push(id)) {
      result.finish = FinishReason::kStopString;
      break;
    }
    if (sequence.length() == sequence.capacity()) {
      result.finish = FinishReason::kContext;
      break;
    }
    // The last token wanted needs no logits after it.
    if (static_cast<int64_t>(result.ids.size()) != options.max_tokens) logits = sequence.feed({&id, 1}, options.cancel);
  }
  result.decode_seconds = seconds_since(start);
  if (!answer.finish()) result.finish = FinishReason::kStopString;
  return result;
}

}  // namespace paro
