#include "model/gguf_tokenizer.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <unordered_set>

#include "base/error.h"
#include "model/gguf_config.h"
#include "model/gguf_merges.h"
#include "model/gguf_pretokenizer.h"

namespace paro {
namespace {

enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

/// The vocabulary's lists, of one length.
struct Vocabulary {
  const std::vector<std::string>* tokens = nullptr;
  std::vector<int64_t> types;
  std::vector<double> scores;
};

Vocabulary read_vocabulary(const GgufFile& file) {
  const std::string place = file.path().string();
  Vocabulary result;
  const GgufArray* tokens = file.array("tokenizer.ggml.tokens");
  if (tokens == nullptr || tokens->strings.empty())
    fail_input("{}: metadata \"tokenizer.ggml.tokens\": expected a list of texts", place);
  result.tokens = &tokens->strings;
  const size_t size = tokens->strings.size();
  if (const GgufArray* types = file.array("tokenizer.ggml.token_type")) result.types = types->integers;
  if (result.types.empty()) result.types.assign(size, kNormal);
  if (const GgufArray* scores = file.array("tokenizer.ggml.scores")) result.scores = scores->numbers;
  if (result.scores.empty()) result.scores.assign(size, 0.0);
  if (result.types.size() != size || result.scores.size() != size)
    fail_input("{}: tokenizer: expected types and scores for {} tokens, found {} and {}", place, size,
               result.types.size(), result.scores.size());
  for (const double score : result.scores)
    if (std::isnan(score)) fail_input("{}: metadata \"tokenizer.ggml.scores\": expected numbers, found NaN", place);
  return result;
}

bool is_added(int64_t type) { return type == kControl || type == kUserDefined || type == kUnknown; }

Json vocabulary_json(const Vocabulary& vocabulary) {
  // Not by operator[]: it searches an ordered object from its start.
  Json::object_t entries;
  std::unordered_set<std::string_view> seen;
  const std::vector<std::string>& tokens = *vocabulary.tokens;
  for (size_t id = 0; id < tokens.size(); ++id) {
    // Filler up to a round number of rows, made by the converter.
    const bool filler = vocabulary.types[id] == kUnused && tokens[id].starts_with("[PAD");
    if (filler || !seen.insert(tokens[id]).second) continue;
    static_cast<Json::object_t::Container&>(entries).emplace_back(tokens[id], id);
  }
  return Json(std::move(entries));
}

Json added_tokens_json(const Vocabulary& vocabulary) {
  Json list = Json::array();
  for (size_t id = 0; id < vocabulary.tokens->size(); ++id) {
    if (!is_added(vocabulary.types[id])) continue;
    list.push_back({{"id", id},
                    {"content", (*vocabulary.tokens)[id]},
                    {"single_word", false},
                    {"lstrip", false},
                    {"rstrip", false},
                    {"normalized", false},
                    {"special", vocabulary.types[id] != kUserDefined}});
  }
  return list;
}

/// The token that the metadata key names; nullopt when it names none.
std::optional<int64_t> named_id(const GgufFile& file, const Vocabulary& vocabulary, const char* key) {
  const std::string full = std::string("tokenizer.ggml.") + key;
  const int64_t id = file.integer(full, -1);
  if (id < 0) return std::nullopt;
  if (id >= static_cast<int64_t>(vocabulary.tokens->size()))
    fail_input("{}: metadata \"{}\": expected an id below {}, found {}", file.path().string(), full,
               vocabulary.tokens->size(), id);
  return id;
}

/// BOS and EOS around a text, as TemplateProcessing; null when neither is added.
Json post_processor(const GgufFile& file, const Vocabulary& vocabulary, bool bos_default) {
  const auto bos = named_id(file, vocabulary, "bos_token_id");
  const auto eos = named_id(file, vocabulary, "eos_token_id");
  const bool with_bos = bos && file.boolean("tokenizer.ggml.add_bos_token", bos_default);
  const bool with_eos = eos && file.boolean("tokenizer.ggml.add_eos_token", false);
  if (!with_bos && !with_eos) return Json();
  Json special = Json::object();
  const auto piece_of = [&](int64_t id, int type) -> Json {
    const std::string& token = (*vocabulary.tokens)[static_cast<size_t>(id)];
    special[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
    return {{"SpecialToken", {{"id", token}, {"type_id", type}}}};
  };
  const auto around = [&](Json& list, const char* sequence, int type) {
    if (with_bos) list.push_back(piece_of(*bos, type));
    list.push_back({{"Sequence", {{"id", sequence}, {"type_id", type}}}});
    if (with_eos) list.push_back(piece_of(*eos, type));
  };
  Json single = Json::array();
  around(single, "A", 0);
  Json pair = Json::array();
  around(pair, "A", 0);
  around(pair, "B", 1);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

Json bpe_model(Json vocabulary, Json merges, const Json& unknown, bool byte_fallback, bool ignore_merges) {
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unknown},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", byte_fallback},
          {"byte_fallback", byte_fallback},
          {"ignore_merges", ignore_merges},
          {"vocab", std::move(vocabulary)},
          {"merges", std::move(merges)}};
}

Json document(const Vocabulary& vocabulary, Json normalizer, Json pre_tokenizer, Json post, Json decoder, Json model) {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added_tokens_json(vocabulary)},
          {"normalizer", std::move(normalizer)},
          {"pre_tokenizer", std::move(pre_tokenizer)},
          {"post_processor", std::move(post)},
          {"decoder", std::move(decoder)},
          {"model", std::move(model)}};
}

Json byte_level_tokenizer(const GgufFile& file, const Vocabulary& vocabulary) {
  const std::string place = file.path().string();
  GgufPretokenizer pre = gguf_pretokenizer(file.string("tokenizer.ggml.pre", "default"), place);
  const GgufArray* stored = file.array("tokenizer.ggml.merges");
  if (stored == nullptr) fail_input("{}: metadata \"tokenizer.ggml.merges\" is missing", place);
  Json merges = Json::array();
  for (const std::string& merge : stored->strings) {
    // The space of a token is spelled otherwise in a byte-level vocabulary.
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos || space + 1 == merge.size())
      fail_input("{}: metadata \"tokenizer.ggml.merges\": expected two tokens, found \"{}\"", place, merge);
    merges.push_back({merge.substr(0, space), merge.substr(space + 1)});
  }
  const Json decoder = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  return document(vocabulary, pre.normalizer, pre.pre_tokenizer, post_processor(file, vocabulary, pre.add_bos), decoder,
                  bpe_model(vocabulary_json(vocabulary), std::move(merges), nullptr, false, pre.ignore_merges));
}

Json sentencepiece_tokenizer(const GgufFile& file, const Vocabulary& vocabulary) {
  constexpr const char* kSpace = "\xE2\x96\x81";  // U+2581
  std::vector<bool> skipped;
  for (const int64_t type : vocabulary.types) skipped.push_back(type != kNormal && type != kUnused);
  Json merges = Json::array();
  for (auto& [left, right] : merges_from_scores(*vocabulary.tokens, vocabulary.scores, skipped))
    merges.push_back({std::move(left), std::move(right)});
  const bool prefix = file.boolean("tokenizer.ggml.add_space_prefix", true);
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}};
  Json normalizer = replace;
  if (prefix)
    normalizer = {{"type", "Sequence"}, {"normalizers", {{{"type", "Prepend"}, {"prepend", kSpace}}, replace}}};
  Json steps = {{{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}},
                {{"type", "ByteFallback"}},
                {{"type", "Fuse"}}};
  if (prefix) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  Json unknown;
  if (const auto id = named_id(file, vocabulary, "unknown_token_id"))
    unknown = (*vocabulary.tokens)[static_cast<size_t>(*id)];
  return document(vocabulary, normalizer, nullptr, post_processor(file, vocabulary, true),
                  {{"type", "Sequence"}, {"decoders", std::move(steps)}},
                  bpe_model(vocabulary_json(vocabulary), std::move(merges), unknown, true, false));
}

Json tokenizer_config(const GgufFile& file, const Vocabulary& vocabulary, const std::string& chat_template) {
  Json config;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  for (const auto& [key, source] :
       {std::pair("bos_token", "bos_token_id"), std::pair("eos_token", "eos_token_id"),
        std::pair("unk_token", "unknown_token_id"), std::pair("pad_token", "padding_token_id")})
    if (const auto id = named_id(file, vocabulary, source))
      config[key] = (*vocabulary.tokens)[static_cast<size_t>(*id)];
  config["clean_up_tokenization_spaces"] = false;
  if (const int64_t length = file.integer(file.string("general.architecture", "") + ".context_length", 0); length > 0)
    config["model_max_length"] = length;
  Json decoder = Json::object();
  for (Json& token : added_tokens_json(vocabulary)) {
    const std::string id = std::to_string(token["id"].get<int64_t>());
    token.erase("id");
    static_cast<Json::object_t::Container&>(decoder.get_ref<Json::object_t&>()).emplace_back(id, std::move(token));
  }
  config["added_tokens_decoder"] = std::move(decoder);
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  return config;
}

}  // namespace

GgufTokenizer gguf_tokenizer(const GgufFile& file) {
  GgufTokenizer result;
  const std::string kind = file.string("tokenizer.ggml.model", "");
  if (kind.empty()) return result;
  result.chat_template = file.string("tokenizer.chat_template", "");
  if (kind != "gpt2" && kind != "llama")
    fail_input("{}: metadata \"tokenizer.ggml.model\": expected gpt2 or llama, found \"{}\"", file.path().string(),
               kind);
  const Vocabulary vocabulary = read_vocabulary(file);
  result.tokenizer =
      kind == "gpt2" ? byte_level_tokenizer(file, vocabulary) : sentencepiece_tokenizer(file, vocabulary);
  result.config = tokenizer_config(file, vocabulary, result.chat_template);
  return result;
}

}  // namespace paro
