// Conversations through a chat template: what transformers gives it, and what a list of messages must be.
#pragma once

#include <string>

#include "base/json.h"
#include "io/chat_template/chat_template.h"
#include "io/tokenizer/tokenizer.h"

namespace paro {

/// What transformers gives a template: messages, add_generation_prompt, bos_token, eos_token; `arguments` on top.
std::string render_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer, const Json& messages,
                        bool add_generation_prompt, const Json& arguments);
/// Throws Error{kInput} naming `place` unless `messages` is a list of objects with a role.
void check_messages(const Json& messages, const std::string& place);

}  // namespace paro
