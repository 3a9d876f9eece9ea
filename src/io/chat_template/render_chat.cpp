#include "io/chat_template/render_chat.h"

#include "base/error.h"

namespace paro {

void check_messages(const Json& messages, const std::string& place) {
  if (!messages.is_array()) fail_input("{}: expected a list of messages, found {}", place, json_kind(messages));
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string where = fmt::format("{}: message {}", place, i + 1);
    if (!messages[i].is_object()) fail_input("{}: expected an object, found {}", where, json_kind(messages[i]));
    json_string(messages[i], "role", where);
  }
}

std::string render_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer, const Json& messages,
                        bool add_generation_prompt, const Json& arguments) {
  Json context = {{"messages", messages},
                  {"add_generation_prompt", add_generation_prompt},
                  {"bos_token", tokenizer.bos_token()},
                  {"eos_token", tokenizer.eos_token()}};
  for (const auto& [key, value] : arguments.items()) context[key] = value;
  return chat_template.render(context);
}

}  // namespace paro
