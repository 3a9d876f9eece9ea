#include "io/checkpoint.h"

#include "base/error.h"
#include "base/files.h"
#include "io/safetensors.h"

namespace paro {
namespace {

constexpr int64_t kMaxTextBytes = int64_t{64} << 20;

/// The JSON file of that name; null when there is none.
Json read_optional_json(const std::filesystem::path& folder, const char* name) {
  const std::filesystem::path path = resolve_inside(folder, name);
  std::error_code code;
  return std::filesystem::exists(path, code) ? read_json(path) : Json();
}

/// "chat_template": a text, or a list of {"name", "template"} of which "default" counts.
std::string template_of(const Json& config, const std::string& place) {
  if (config.is_null()) return "";
  if (!config.is_object()) fail_input("{}: expected an object, found {}", place, json_kind(config));
  const auto it = config.find("chat_template");
  if (it == config.end() || it->is_null()) return "";
  if (it->is_string()) return it->get<std::string>();
  if (!it->is_array())
    fail_input("{}: \"chat_template\": expected a string or a list, found {}", place, json_kind(*it));
  for (const Json& named : *it)
    if (json_string(named, "name", place) == "default") return json_string(named, "template", place);
  return "";
}

std::string read_chat_template(const std::filesystem::path& folder, const Json& tokenizer_config) {
  const std::filesystem::path file = resolve_inside(folder, "chat_template.jinja");
  std::error_code code;
  if (std::filesystem::exists(file, code)) return read_file(file, kMaxTextBytes);
  std::string text = template_of(tokenizer_config, (folder / "tokenizer_config.json").string());
  if (!text.empty()) return text;
  return template_of(read_optional_json(folder, "chat_template.json"), (folder / "chat_template.json").string());
}

bool has_pytorch_weights(const std::filesystem::path& folder) {
  std::error_code code;
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth"})
    if (std::filesystem::exists(folder / name, code)) return true;
  return false;
}

bool has_safetensors(const std::filesystem::path& folder) {
  std::error_code code;
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"})
    if (std::filesystem::exists(folder / name, code)) return true;
  return false;
}

}  // namespace

Checkpoint open_checkpoint_folder(const std::filesystem::path& folder, const CheckpointParts& parts) {
  std::error_code code;
  if (!std::filesystem::is_directory(folder, code)) fail_input("{}: expected a checkpoint folder", folder.string());
  Checkpoint result;
  result.name = folder.string();
  result.path = folder;
  if (parts.config) {
    result.config = read_optional_json(folder, "config.json");
    if (result.config.is_null()) fail_input("{}: not a checkpoint: there is no config.json in it", folder.string());
    result.generation_config = read_optional_json(folder, "generation_config.json");
  }
  if (parts.tokenizer) {
    result.tokenizer_config = read_optional_json(folder, "tokenizer_config.json");
    result.tokenizer_json = read_optional_json(folder, "tokenizer.json");
    result.chat_template = read_chat_template(folder, result.tokenizer_config);
  }
  if (parts.weights) {
    if (!has_safetensors(folder) && has_pytorch_weights(folder))
      fail_input("{}: PyTorch's pickled weights are not supported; convert them to safetensors", folder.string());
    result.weights = open_safetensors_folder(folder);
  }
  return result;
}

}  // namespace paro
