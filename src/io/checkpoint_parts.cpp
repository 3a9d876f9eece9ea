#include "base/error.h"
#include "io/checkpoint.h"

namespace paro {
namespace {

std::string place_of(const Checkpoint& checkpoint, const char* file) {
  std::error_code code;
  const bool folder = std::filesystem::is_directory(checkpoint.path, code);
  return folder ? (checkpoint.path / file).string() : checkpoint.path.string();
}

}  // namespace

std::string Checkpoint::short_name() const {
  std::filesystem::path typed = std::filesystem::path(name.empty() ? path.string() : name).lexically_normal();
  if (!typed.has_filename()) typed = typed.parent_path();
  std::string result = typed.filename().string();
  if (const size_t at = result.find('@'); at != std::string::npos && at > 0) result.resize(at);
  if (result.ends_with(".gguf")) result.resize(result.size() - 5);
  return result;
}

std::string Checkpoint::config_place() const { return place_of(*this, "config.json"); }

std::unique_ptr<const Tokenizer> Checkpoint::make_tokenizer() const {
  if (tokenizer_json.is_null()) {
    std::error_code code;
    const bool sentencepiece = std::filesystem::exists(path / "tokenizer.model", code);
    fail_input("{}: expected a tokenizer.json, found {}", path.string(),
               sentencepiece ? "only a tokenizer.model (save the tokenizer with transformers to convert it)" : "none");
  }
  return Tokenizer::from_json(tokenizer_json, tokenizer_config, place_of(*this, "tokenizer.json"));
}

std::unique_ptr<const ChatTemplate> Checkpoint::make_chat_template() const {
  if (chat_template.empty()) return nullptr;
  return ChatTemplate::parse(chat_template, path.string() + ": chat template");
}

}  // namespace paro
