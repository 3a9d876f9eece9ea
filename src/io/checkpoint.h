// A model as the user names it, opened: config, weights under Hugging Face names, tokenizer, chat template,
// generation config. From a checkpoint folder; from a GGUF file through model/gguf_checkpoint.h.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "io/chat_template/chat_template.h"
#include "io/tokenizer/tokenizer.h"
#include "io/weight_source.h"

namespace paro {

struct Checkpoint {
  std::string name;            // what the user typed
  std::filesystem::path path;  // folder or GGUF file
  Json config;                 // config.json (or the equivalent made from GGUF metadata)
  Json generation_config;      // null when there is none
  Json tokenizer_config;       // null when there is none
  Json tokenizer_json;         // null when there is none; for a GGUF: converted
  std::string chat_template;   // empty when there is none
  std::shared_ptr<const WeightSource> weights;

  /// The model's own name: the last part of what the user typed, without revision and ".gguf".
  std::string short_name() const;
  /// Where config errors are said to be ("DIR/config.json").
  std::string config_place() const;
  /// Throws Error{kInput} when the checkpoint holds no tokenizer or it cannot be read.
  std::unique_ptr<const Tokenizer> make_tokenizer() const;
  /// nullptr when the checkpoint holds no template.
  std::unique_ptr<const ChatTemplate> make_chat_template() const;
};

/// Which parts to open: `paro tokenize` needs no weights.
struct CheckpointParts {
  bool config = true;
  bool weights = true;
  bool tokenizer = true;
};

/// A folder in Hugging Face layout (config.json, tokenizer files, safetensors). chat_template from
/// tokenizer_config.json ("chat_template": string, or list with "default"), or the file chat_template.jinja.
/// Links are followed inside the folder and inside the model's own folder of the hub cache, nowhere else.
Checkpoint open_checkpoint_folder(const std::filesystem::path& folder, const CheckpointParts& parts = {});

/// The path of `entry` (a file name from an index, or a known name) in a checkpoint folder; Error{kInput} when it
/// leads outside it. Does not have to exist.
std::filesystem::path resolve_inside(const std::filesystem::path& folder, const std::string& entry);

}  // namespace paro
