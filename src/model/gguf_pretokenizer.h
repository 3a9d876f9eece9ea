// GGUF names a byte-level tokenizer's way of cutting text into words; here are the ways.
#pragma once

#include <string>

#include "base/json.h"

namespace paro {

struct GgufPretokenizer {
  Json normalizer;             // of tokenizer.json, may be null
  Json pre_tokenizer;          // of tokenizer.json
  bool ignore_merges = false;  // a word that is a token is taken whole
  bool add_bos = false;        // when the file does not say
};

/// `name` is tokenizer.ggml.pre. Throws Error{kInput} for an unknown one.
GgufPretokenizer gguf_pretokenizer(const std::string& name, const std::string& place);

}  // namespace paro
