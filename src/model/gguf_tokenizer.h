// The tokenizer embedded in a GGUF file as Hugging Face's tokenizer.json and tokenizer_config.json, such that the
// `tokenizers` library gives the same ids as the tokenizer the file was made from.
#pragma once

#include <string>

#include "base/json.h"
#include "io/gguf.h"

namespace paro {

struct GgufTokenizer {
  Json tokenizer;             // null when the file holds none
  Json config;                // null when the file holds none
  std::string chat_template;  // empty when the file holds none
};

/// Throws Error{kInput} for a kind other than "gpt2" (byte-level BPE) and "llama" (sentencepiece BPE), an unknown
/// pre-tokenizer, and lists that do not fit together.
GgufTokenizer gguf_tokenizer(const GgufFile& file);

}  // namespace paro
