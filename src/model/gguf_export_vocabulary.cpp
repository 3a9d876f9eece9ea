// tokenizer.json in the keys of GGUF: the inverse of gguf_tokenizer.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "model/gguf_export.h"
#include "model/gguf_pretokenizer.h"

namespace paro {
namespace {

enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
};

bool is_byte(const std::string& token) { return token.size() == 6 && token.starts_with("<0x") && token.back() == '>'; }

Vocabulary vocabulary_of(const Json& tokenizer, int64_t size, bool byte_fallback, const std::string& place) {
  Vocabulary result;
  result.types.assign(static_cast<size_t>(size), kUnused);
  // As other converters name rows that no token has.
  for (int64_t id = 0; id < size; ++id) result.tokens.push_back(fmt::format("[PAD{}]", id));
  const auto set = [&](int64_t id, const std::string& token, int32_t type) {
    if (id < 0) fail_input("{}: token \"{}\": expected an id, found {}", place, token, id);
    if (id >= size) return;  // without a row in the embedding the model cannot know it
    result.tokens[static_cast<size_t>(id)] = token;
    result.types[static_cast<size_t>(id)] = type;
  };
  for (const auto& [token, id] : tokenizer["model"]["vocab"].items())
    set(id.get<int64_t>(), token, byte_fallback && is_byte(token) ? kByte : kNormal);
  const std::string unknown = json_string(tokenizer["model"], "unk_token", "", place);
  for (const Json& added : tokenizer.value("added_tokens", Json::array())) {
    const std::string content = json_string(added, "content", place);
    const int32_t type = content == unknown && byte_fallback         ? kUnknown
                         : json_bool(added, "special", false, place) ? kControl
                                                                     : kUserDefined;
    set(json_int(added, "id", place), content, type);
  }
  return result;
}

/// Merges are "a b" or ["a", "b"].
std::pair<std::string, std::string> merge_of(const Json& merge, const std::string& place) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  if (merge.is_string()) {
    const std::string text = merge.get<std::string>();
    if (const size_t space = text.find(' ', 1); space != std::string::npos)
      return {text.substr(0, space), text.substr(space + 1)};
  }
  fail_input("{}: \"merges\": expected pairs of tokens, found {}", place, dump_json(merge).substr(0, 100));
}

/// A sentencepiece model has scores instead of merges: those that put together a piece earlier get a higher one.
std::vector<float> scores_of(const Vocabulary& vocabulary, const Json& merges, const std::string& place) {
  std::unordered_map<std::string, size_t> rank;
  for (const Json& merge : merges) {
    const auto [left, right] = merge_of(merge, place);
    rank.emplace(left + right, rank.size());
  }
  std::vector<float> scores;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const auto found = rank.find(vocabulary.tokens[id]);
    const bool piece = vocabulary.types[id] == kNormal || vocabulary.types[id] == kUserDefined;
    const size_t score = found != rank.end() ? found->second : rank.size();
    scores.push_back(piece ? -static_cast<float>(score) : 0.0f);
  }
  return scores;
}

/// What matters of a pre-tokenizer or normalizer: the rest has one usual value.
Json essence(const Json& step) {
  if (!step.is_object()) return Json();
  Json result = {{"type", step.value("type", "")}};
  for (const char* key : {"pattern", "behavior", "invert", "individual_digits", "use_regex"})
    if (step.contains(key)) result[key] = step[key];
  if (result["type"] == "ByteLevel") result["use_regex"] = step.value("use_regex", true);
  if (step.contains("pretokenizers"))
    for (const Json& inner : step["pretokenizers"]) result["steps"].push_back(essence(inner));
  if (step.contains("normalizers"))
    for (const Json& inner : step["normalizers"]) result["steps"].push_back(essence(inner));
  return result;
}

/// GGUF's name of the way this tokenizer cuts text into words.
std::string pretokenizer_name(const Json& tokenizer, bool ignore_merges, const std::string& place) {
  const Json cut = essence(tokenizer.value("pre_tokenizer", Json()));
  const Json normalizer = essence(tokenizer.value("normalizer", Json()));
  for (const char* name : {"llama-bpe", "smaug-bpe", "qwen2", "smollm", "gpt-2", "deepseek-llm", "deepseek-coder",
                           "deepseek-v3", "default"}) {
    const GgufPretokenizer known = gguf_pretokenizer(name, place);
    if (essence(known.pre_tokenizer) == cut && essence(known.normalizer) == normalizer &&
        known.ignore_merges == ignore_merges)
      return name;
  }
  fail_input("{}: GGUF has no name for this tokenizer's way of cutting text into words (\"pre_tokenizer\": {})", place,
             dump_json(cut).substr(0, 300));
}

bool prepends_space(const Json& tokenizer) {
  const std::string normalizer = dump_json(tokenizer.value("normalizer", Json()));
  const Json cut = tokenizer.value("pre_tokenizer", Json());
  const bool metaspace = cut.is_object() && cut.value("type", "") == "Metaspace";
  return normalizer.find("\"Prepend\"") != std::string::npos ||
         (metaspace && cut.value("prepend_scheme", "always") != "never");
}

/// Ids that a special token stands for, in the config's and the tokenizer's words.
struct SpecialIds {
  int64_t bos = -1;
  int64_t eos = -1;
  int64_t unknown = -1;
  int64_t pad = -1;
  int64_t turn_end = -1;
};

SpecialIds special_ids(const Checkpoint& checkpoint, const ModelConfig& config, const Tokenizer& tokenizer) {
  SpecialIds ids;
  const auto id_of = [&](const char* key) -> int64_t {
    const Json& settings = checkpoint.tokenizer_config;
    if (!settings.is_object() || !settings.contains(key)) return -1;
    const Json& value = settings[key];
    const std::string token = value.is_string()   ? value.get<std::string>()
                              : value.is_object() ? value.value("content", "")
                                                  : "";
    return token.empty() ? -1 : tokenizer.token_to_id(token).value_or(-1);
  };
  ids.bos = id_of("bos_token");
  ids.eos = id_of("eos_token");
  ids.unknown = id_of("unk_token");
  ids.pad = id_of("pad_token");
  if (const Json& bos = checkpoint.config.value("bos_token_id", Json()); ids.bos < 0 && bos.is_number_integer())
    ids.bos = bos.get<int64_t>();
  // generation_config.json knows better than config.json, where the end may be the family's default.
  std::vector<int64_t> ends;
  if (checkpoint.generation_config.is_object() && checkpoint.generation_config.contains("eos_token_id")) {
    const Json& listed = checkpoint.generation_config["eos_token_id"];
    for (const Json& id : listed.is_array() ? listed : Json::array({listed}))
      if (id.is_number_integer()) ends.push_back(id.get<int64_t>());
  }
  if (ends.empty()) ends.assign(config.eos_ids.begin(), config.eos_ids.end());
  if (ids.eos < 0 && !ends.empty()) ids.eos = ends[0];
  for (const int64_t end : ends)
    if (end != ids.eos && ids.turn_end < 0) ids.turn_end = end;
  return ids;
}

}  // namespace

GgufMetadata gguf_vocabulary(const Checkpoint& checkpoint, const ModelConfig& config) {
  if (checkpoint.tokenizer_json.is_null()) return {};
  const std::string place = checkpoint.path.string() + ": tokenizer";
  const auto tokenizer = checkpoint.make_tokenizer();  // checks the document
  const Json& document = checkpoint.tokenizer_json;
  const Json& model = document["model"];
  const bool sentencepiece = json_bool(model, "byte_fallback", false, place);
  const Vocabulary vocabulary = vocabulary_of(document, config.vocab_size, sentencepiece, place);
  const Json merges = model.value("merges", Json::array());
  GgufMetadata metadata;
  const auto add = [&](const char* key, GgufWriteValue value) {
    metadata.emplace_back(std::string("tokenizer.ggml.") + key, std::move(value));
  };
  add("model", std::string(sentencepiece ? "llama" : "gpt2"));
  add("pre", sentencepiece ? std::string("default")
                           : pretokenizer_name(document, json_bool(model, "ignore_merges", false, place), place));
  add("tokens", vocabulary.tokens);
  add("token_type", vocabulary.types);
  if (sentencepiece) {
    add("scores", scores_of(vocabulary, merges, place));
    add("add_space_prefix", prepends_space(document));
  } else {
    std::vector<std::string> list;
    for (const Json& merge : merges) {
      const auto [left, right] = merge_of(merge, place);
      list.push_back(left + " " + right);
    }
    add("merges", std::move(list));
  }
  const SpecialIds ids = special_ids(checkpoint, config, *tokenizer);
  for (const auto& [key, id] :
       {std::pair("bos_token_id", ids.bos), std::pair("eos_token_id", ids.eos), std::pair("eot_token_id", ids.turn_end),
        std::pair("unknown_token_id", ids.unknown), std::pair("padding_token_id", ids.pad)})
    if (id >= 0 && id < config.vocab_size) add(key, static_cast<uint32_t>(id));
  // What the tokenizer itself puts around a text.
  const std::vector<int32_t> with = tokenizer->encode("a", true);
  add("add_bos_token", !with.empty() && with.front() == ids.bos);
  add("add_eos_token", !with.empty() && with.back() == ids.eos);
  if (!checkpoint.chat_template.empty()) metadata.emplace_back("tokenizer.chat_template", checkpoint.chat_template);
  return metadata;
}

}  // namespace paro
