#include "runtime/chat.h"

#include <utility>

namespace paro {

Chat::Chat(const Engine& engine, int64_t context) : engine_(engine), sequence_(engine, context) {
  engine.chat_template();
}

void Chat::set_messages(Json messages, const std::string& place) {
  check_messages(messages, place);
  messages_ = std::move(messages);
}

void Chat::clear() {
  const bool system = !messages_.empty() && messages_[0]["role"] == "system";
  messages_.erase(messages_.begin() + (system ? 1 : 0), messages_.end());
}

void Chat::set_system(const std::string& text) {
  if (!messages_.empty() && messages_[0]["role"] == "system") messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), Json{{"role", "system"}, {"content", text}});
}

void Chat::add_user(const std::string& text) { messages_.push_back({{"role", "user"}, {"content", text}}); }

bool Chat::drop_answer() {
  if (messages_.empty() || messages_.back()["role"] != "assistant") return false;
  drop_last();
  return true;
}

void Chat::drop_last() {
  if (!messages_.empty()) messages_.erase(messages_.size() - 1);
}

std::string Chat::prompt() const {
  return render_chat(engine_.chat_template(), engine_.tokenizer(), messages_, true, arguments_);
}

GenerateResult Chat::answer(const GenerateOptions& options) {
  // The template writes BOS itself.
  const std::vector<int32_t> ids = engine_.tokenizer().encode(prompt(), false);
  GenerateResult result = generate(engine_, sequence_, ids, options);
  messages_.push_back({{"role", "assistant"}, {"content", result.text}});
  return result;
}

}  // namespace paro
