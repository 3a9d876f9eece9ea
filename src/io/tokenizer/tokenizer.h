// A BPE tokenizer read from Hugging Face's tokenizer.json: text to ids and back, with the ids of the `tokenizers`
// library. Byte-level models (GPT-2, Llama 3, Qwen, SmolLM, DeepSeek) and the sentencepiece-like Llama 2 kind.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace paro {

class Tokenizer {
 public:
  /// `tokenizer` is the document tokenizer.json; `config` tokenizer_config.json or null. `place` names the file in
  /// errors. Throws Error{kInput} when something in it is malformed or of a kind that is not supported.
  static std::unique_ptr<const Tokenizer> from_json(const Json& tokenizer, const Json& config,
                                                    const std::string& place);
  ~Tokenizer();

  /// Ids of `text` (UTF-8; invalid bytes become U+FFFD). Added and special tokens in the text are recognised;
  /// `add_special` runs the post-processor (BOS/EOS). Thread-safe.
  std::vector<int32_t> encode(std::string_view text, bool add_special = true) const;

  /// Text of `ids`; ids outside the vocabulary are skipped. The same text as `tokenizers`' decode.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  /// Number of ids, added tokens included (the largest id + 1).
  int64_t vocab_size() const;
  std::optional<int32_t> token_to_id(std::string_view token) const;
  /// The token as the vocabulary spells it ("Ġhello"); empty for an id that is not there.
  std::string id_to_token(int32_t id) const;
  bool is_special(int32_t id) const;

  /// bos_token and eos_token of tokenizer_config.json; empty when it names none.
  const std::string& bos_token() const;
  const std::string& eos_token() const;

 private:
  friend class StreamDecoder;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Decodes a growing list of ids piece by piece: the pieces joined are decode() of all ids, and no piece ends inside
/// a UTF-8 character.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true);
  ~StreamDecoder();
  /// The text that this id completes, possibly empty.
  std::string push(int32_t id);
  /// What is left when no more ids come (an unfinished character as U+FFFD).
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace paro
