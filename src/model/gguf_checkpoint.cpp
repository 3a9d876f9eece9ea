#include "model/gguf_checkpoint.h"

#include "io/gguf.h"
#include "model/gguf_config.h"
#include "model/gguf_tokenizer.h"
#include "model/gguf_weights.h"

namespace paro {

Checkpoint open_gguf_checkpoint(const std::filesystem::path& path, const CheckpointParts& parts) {
  const std::shared_ptr<const GgufFile> file = GgufFile::open(path);
  Checkpoint result;
  result.name = path.string();
  result.path = path;
  if (parts.config) {
    result.config = gguf_config(*file);
    result.generation_config = gguf_generation_config(*file);
  }
  if (parts.tokenizer) {
    GgufTokenizer tokenizer = gguf_tokenizer(*file);
    result.tokenizer_json = std::move(tokenizer.tokenizer);
    result.tokenizer_config = std::move(tokenizer.config);
    result.chat_template = std::move(tokenizer.chat_template);
  }
  if (parts.weights) result.weights = gguf_weights(file);
  return result;
}

}  // namespace paro
