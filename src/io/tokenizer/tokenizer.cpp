#include "io/tokenizer/tokenizer.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "io/tokenizer/added_tokens.h"
#include "io/tokenizer/bpe.h"
#include "io/tokenizer/byte_alphabet.h"
#include "io/tokenizer/decoder.h"
#include "io/tokenizer/normalizer.h"
#include "io/tokenizer/post_processor.h"
#include "io/tokenizer/pre_tokenizer.h"
#include "io/tokenizer/utf8.h"

namespace paro {

using namespace tokenizer;

namespace {

const Json& part(const Json& object, const char* key) {
  static const Json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

// A special token in tokenizer_config.json: a string, or an object with "content".
std::string named_token(const Json& config, const char* key, const std::string& place) {
  if (!config.is_object()) return "";
  const Json& value = part(config, key);
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object()) return json_string(value, "content", place + ": tokenizer_config.json: " + key);
  fail_input("{}: tokenizer_config.json: \"{}\": expected a string or an object, found {}", place, key,
             json_kind(value));
}

}  // namespace

struct Tokenizer::Impl {
  Impl(const Json& json, const Json& config, const std::string& place)
      : normalizer(Normalizer::from_json(part(json, "normalizer"), place)),
        pre_tokenizer(PreTokenizer::from_json(part(json, "pre_tokenizer"), place)),
        bpe(part(json, "model"), pre_tokenizer.byte_level(), place),
        added(json, config, bpe, normalizer, place),
        post_processor(PostProcessor::from_json(part(json, "post_processor"), place)),
        decoder(Decoder::from_json(part(json, "decoder"), place)),
        bos(named_token(config, "bos_token", place)),
        eos(named_token(config, "eos_token", place)) {
    size = static_cast<int64_t>(bpe.tokens().size());
    for (const AddedToken& token : added.all()) size = std::max(size, int64_t{token.id} + 1);
    special.resize(static_cast<size_t>(size));
    for (int64_t id = 0; id < size; ++id) {
      const AddedToken* same = added.by_content(std::string(spelling(id).value_or("")));
      special[static_cast<size_t>(id)] = same != nullptr && same->special;
    }
    if (!decoder.only_byte_level()) return;
    bytes.resize(static_cast<size_t>(size));
    for (int64_t id = 0; id < size; ++id)
      if (const auto token = spelling(id))
        bytes[static_cast<size_t>(id)] = ByteAlphabet::get().bytes(*token).value_or(std::string(*token));
  }

  // The token of an id as the decoder sees it.
  std::optional<std::string_view> spelling(int64_t id) const {
    if (id < 0 || id >= size) return std::nullopt;
    if (const AddedToken* token = added.by_id(static_cast<int32_t>(id))) return token->spelling;
    if (!bpe.has_id(id)) return std::nullopt;
    return bpe.tokens()[static_cast<size_t>(id)];
  }

  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  AddedTokens added;
  PostProcessor post_processor;
  Decoder decoder;
  std::string bos;
  std::string eos;
  int64_t size = 0;
  std::vector<bool> special;
  std::vector<std::string> bytes;  // of each id, when the decoder only joins bytes
};

std::unique_ptr<const Tokenizer> Tokenizer::from_json(const Json& tokenizer, const Json& config,
                                                      const std::string& place) {
  if (!tokenizer.is_object()) fail_input("{}: expected an object, found {}", place, json_kind(tokenizer));
  if (!tokenizer.contains("model")) fail_input("{}: \"model\" is missing", place);
  return std::unique_ptr<const Tokenizer>(new Tokenizer(std::make_unique<Impl>(tokenizer, config, place)));
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special) const {
  constexpr size_t kMaxText = size_t{1} << 30;
  if (text.size() > kMaxText) fail_limit("a text of {} bytes is too long to be tokenized at once", text.size());
  std::string repaired;
  if (!is_valid_utf8(text)) {
    append_repaired(text, false, repaired);
    text = repaired;
  }
  struct Words : WordSink {
    Words(const Bpe& model, std::vector<int32_t>& out) : bpe(model), ids(out) {}
    void word(std::string_view word) override { bpe.encode(word, ids); }
    const Bpe& bpe;
    std::vector<int32_t>& ids;
  };
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 16);
  Words words(impl_->bpe, ids);
  const auto on_token = [&](const AddedToken& token) { ids.push_back(token.id); };
  impl_->added.cut(
      text, false,
      [&](std::string_view raw, size_t raw_start) {
        std::string changed;
        if (!impl_->normalizer.empty()) {
          changed = impl_->normalizer.apply(raw);
          raw = changed;
        }
        impl_->added.cut(
            raw, true,
            [&](std::string_view piece, size_t start) {
              impl_->pre_tokenizer.run(piece, raw_start == 0 && start == 0, words);
            },
            on_token);
      },
      on_token);
  if (add_special) impl_->post_processor.apply(ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  if (!impl_->bytes.empty()) {
    std::string bytes;
    for (int32_t id : ids) {
      if (id < 0 || id >= impl_->size || (skip_special && impl_->special[static_cast<size_t>(id)])) continue;
      bytes += impl_->bytes[static_cast<size_t>(id)];
    }
    if (is_valid_utf8(bytes)) return bytes;
    append_repaired(bytes, false, text);
    return text;
  }
  Decoder::Stream stream(impl_->decoder);
  for (int32_t id : ids) {
    const auto token = impl_->spelling(id);
    if (token && !(skip_special && impl_->special[static_cast<size_t>(id)])) stream.push(*token, text);
  }
  stream.finish(text);
  return text;
}

int64_t Tokenizer::vocab_size() const { return impl_->size; }

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  if (const AddedToken* added = impl_->added.by_content(std::string(token))) return added->id;
  const int32_t id = impl_->bpe.find(token);
  return id < 0 ? std::nullopt : std::optional<int32_t>(id);
}

std::string Tokenizer::id_to_token(int32_t id) const {
  if (const AddedToken* added = impl_->added.by_id(id)) return added->content;
  return std::string(impl_->spelling(id).value_or(""));
}

bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && id < impl_->size && impl_->special[static_cast<size_t>(id)];
}

const std::string& Tokenizer::bos_token() const { return impl_->bos; }
const std::string& Tokenizer::eos_token() const { return impl_->eos; }

struct StreamDecoder::State {
  State(const Tokenizer::Impl& impl, bool skip) : tokenizer(impl), skip_special(skip), stream(impl.decoder) {}
  const Tokenizer::Impl& tokenizer;
  bool skip_special;
  Decoder::Stream stream;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : state_(std::make_unique<State>(*tokenizer.impl_, skip_special)) {}
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::push(int32_t id) {
  std::string out;
  const auto token = state_->tokenizer.spelling(id);
  if (token && !(state_->skip_special && state_->tokenizer.special[static_cast<size_t>(id)]))
    state_->stream.push(*token, out);
  return out;
}

std::string StreamDecoder::finish() {
  std::string out;
  state_->stream.finish(out);
  return out;
}

}  // namespace paro
