// A complete checkpoint folder for tests, made by code: a small Llama with seeded random weights, a byte-level BPE
// tokenizer with a few merges, a ChatML template, a generation config.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/json.h"

namespace paro {

struct TinyModel {
  int64_t dim = 64;
  int64_t layers = 2;
  int64_t heads = 4;
  int64_t kv_heads = 2;
  int64_t ffn_dim = 128;
  int64_t max_positions = 256;
  bool tied_embeddings = true;
  std::string family = "llama";  // model_type
  uint64_t seed = 1;
  float spread = 0.5f;  // of the weights, times 1 / sqrt(inputs)
};

/// Ids: 0..255 the bytes (in the order of the byte-level alphabet), then merges, then the special tokens
/// <|im_start|>, <|im_end|> (EOS) and <|endoftext|> (BOS).
Json tiny_tokenizer_json();
int64_t tiny_vocab_size();

/// Writes config.json, generation_config.json, tokenizer.json, tokenizer_config.json and model.safetensors (F16).
void write_tiny_model(const std::filesystem::path& folder, const TinyModel& shape = {});

/// A folder of its own under the system's temporary one, removed with everything in it at the end of its life.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace paro
