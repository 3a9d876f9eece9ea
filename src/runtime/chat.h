// A conversation: messages, the template that turns them into a prompt, and the sequence whose cache keeps what two
// turns have in common.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "io/chat_template/render_chat.h"
#include "runtime/engine.h"
#include "runtime/generate.h"

namespace paro {

class Chat {
 public:
  /// `context`: positions; 0: the model's own limit. Throws Error{kInput} when the model has no template.
  Chat(const Engine& engine, int64_t context);

  /// The list of {"role", "content"}.
  const Json& messages() const { return messages_; }
  /// Replaces the conversation; Error{kInput} naming `place` when it is not a list of messages.
  void set_messages(Json messages, const std::string& place);
  void clear();
  /// Sets or, empty, removes the system message; the conversation goes on.
  void set_system(const std::string& text);
  void add_user(const std::string& text);
  /// Removes the last answer, so that answer() gives another one; false when there is none.
  bool drop_answer();
  /// Removes the last message (a question whose prompt cannot be built).
  void drop_last();
  /// Further variables of the template (enable_thinking, tools, ...), an object.
  void set_template_arguments(Json arguments) { arguments_ = std::move(arguments); }

  /// The prompt for the next answer.
  std::string prompt() const;
  /// Generates the next answer and appends it to the messages (also a cancelled one, as far as it came).
  GenerateResult answer(const GenerateOptions& options);

 private:
  const Engine& engine_;
  Sequence sequence_;
  Json messages_ = Json::array();
  Json arguments_ = Json::object();
};

}  // namespace paro
