#include "model/gguf_pretokenizer.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "base/error.h"

namespace paro {
namespace {

// Words of the byte-level families as their tokenizer.json spells them; D is the run of digits that is one word.
#define PARO_WORDS(D)                                             \
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" D \
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
constexpr const char* kLlama3Words = PARO_WORDS("\\p{N}{1,3}");
constexpr const char* kQwen2Words = PARO_WORDS("\\p{N}");
#undef PARO_WORDS
constexpr const char* kGpt2Words = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";
constexpr const char* kChinese = "[\xE4\xB8\x80-\xE9\xBE\xA5\xE0\xA0\x80-\xE4\xB8\x80\xEA\xB0\x80-\xED\x9F\xBF]+";
constexpr const char* kDeepseek3Words =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
    " ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}
Json digits() { return {{"type", "Digits"}, {"individual_digits", true}}; }

Json split(const char* regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
}

Json sequence(std::initializer_list<Json> steps) {
  Json list = Json::array();
  for (const Json& step : steps) list.push_back(step);
  return {{"type", "Sequence"}, {"pretokenizers", std::move(list)}};
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

GgufPretokenizer gguf_pretokenizer(const std::string& name, const std::string& place) {
  GgufPretokenizer result;
  if (is_one_of(name, {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "lfm2"})) {
    result.pre_tokenizer = sequence({split(kLlama3Words), byte_level(false)});
    result.ignore_merges = true;
    result.add_bos = true;
  } else if (is_one_of(name, {"dbrx", "smaug-bpe"})) {
    result.pre_tokenizer = sequence({split(kLlama3Words), byte_level(false)});
  } else if (is_one_of(name, {"qwen2", "deepseek-r1-qwen", "megrez"})) {
    result.normalizer = {{"type", "NFC"}};
    result.pre_tokenizer = sequence({split(kQwen2Words), byte_level(false)});
  } else if (is_one_of(name, {"smollm", "starcoder", "refact", "command-r", "codeshell"})) {
    result.pre_tokenizer = sequence({digits(), byte_level(true)});
  } else if (is_one_of(name, {"gpt-2", "gpt2", "olmo", "jais", "phi-2", "mpt"})) {
    result.pre_tokenizer = byte_level(true);
  } else if (name == "deepseek-llm") {
    // The model's own list of letters is the cased ones of an earlier Unicode.
    result.pre_tokenizer =
        sequence({split("[\\r\\n]"), split("\\s?[\\p{Lu}\\p{Ll}\\p{Lt}]+"),
                  split("\\s?[!-/:-~\xEF\xBC\x81-\xEF\xBC\x8F\xEF\xBC\x9A-\xEF\xBD\x9E\xE2\x80\x98-\xE2\x80\x9F"
                        "\xE3\x80\x80-\xE3\x80\x82]+"),
                  split("\\s+$"), split(kChinese), digits(), byte_level(false)});
  } else if (name == "deepseek-coder") {
    result.pre_tokenizer = sequence(
        {split("[\\r\\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), split(kChinese), digits(), byte_level(false)});
  } else if (is_one_of(name, {"deepseek-v3", "hunyuan-dense"})) {
    result.pre_tokenizer = sequence(
        {split("\\p{N}{1,3}"), split("[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+"),
         split(kDeepseek3Words), byte_level(false)});
  } else if (is_one_of(name, {"default", ""})) {
    // What files from before the key existed are read with by the format's own software.
    result.pre_tokenizer = sequence({split("[\\p{P}\\$\\+<=>\\^~\\|]+"), split(kGpt2Words), split("\\p{N}+"),
                                     split("[0-9][0-9][0-9]"), byte_level(false)});
  } else {
    fail_input("{}: metadata \"tokenizer.ggml.pre\": \"{}\" is not supported", place, name);
  }
  return result;
}

}  // namespace paro
